//! Markdown: the frame of a page, tables, and text that fits into their cells.

/// Stands at the top of every page.
const NOTE: &str = "<!-- Written by `make docs` from the declarations in the code. -->\n\n";

/// A page that begins with a title.
pub(super) struct Page(String);

impl Page {
    pub(super) fn new(title: &str) -> Self {
        Self(format!("{NOTE}# {title}\n\n"))
    }

    pub(super) fn heading(&mut self, level: usize, text: &str) {
        self.0.push_str(&"#".repeat(level));
        self.line(&format!(" {text}\n"));
    }

    /// A paragraph, or any block that needs an empty line after it.
    pub(super) fn block(&mut self, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            self.line(&format!("{text}\n"));
        }
    }

    pub(super) fn code(&mut self, language: &str, text: &str) {
        self.line(&format!("```{language}\n{}\n```\n", text.trim_end()));
    }

    pub(super) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return;
        }
        self.row(head.iter().map(|cell| (*cell).to_owned()));
        self.row(head.iter().map(|_| "---".to_owned()));
        for cells in rows {
            self.row(cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")));
        }
        self.line("");
    }

    fn row(&mut self, cells: impl Iterator<Item = String>) {
        let cells: Vec<String> = cells.collect();
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    pub(super) fn finish(self) -> String {
        format!("{}\n", self.0.trim_end())
    }
}

/// A doc comment as one line.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The texts in backticks, with commas between them.
pub(super) fn backticks<T: AsRef<str>>(texts: &[T]) -> String {
    texts.iter().map(|text| format!("`{}`", text.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The list of all pages.
pub(super) fn index<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut page = Page::new("Reference");
    page.block(
        "Configuration, providers, endpoints and commands, as the code declares them. \
         `make docs` writes these pages and `make check` compares them with the code.",
    );
    let items: Vec<String> = names
        .map(|name| format!("- [{}]({name})", name.trim_end_matches(".md").replace('/', " / ")))
        .collect();
    page.block(&items.join("\n"));
    page.finish()
}
