//! What the elements of HTML mean for the text.

/// What an element does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Begins and ends a block, and may hold others.
    Block,
    Heading(u8),
    Item,
    List,
    OrderedList,
    Preformatted,
    Table,
    Row,
    Cell,
    HeaderCell,
    /// The rows that name the columns.
    TableHead,
    /// The main part of the page.
    Main,
    Article,
    /// Navigation, footers and asides.
    Boilerplate,
    /// Boilerplate, unless it belongs to an article.
    Header,
    /// Neither its text nor what is in it is shown as text.
    Skipped,
    /// Its content is text without elements.
    Raw,
    Title,
    LineBreak,
    /// Has no content and parts blocks.
    Rule,
    /// Goes on in its line: nothing happens.
    Inline,
}

const ROLES: &[(&str, Role)] = &[
    ("address", Role::Block),
    ("article", Role::Article),
    ("aside", Role::Boilerplate),
    ("blockquote", Role::Block),
    ("body", Role::Block),
    ("br", Role::LineBreak),
    ("button", Role::Skipped),
    ("canvas", Role::Skipped),
    ("caption", Role::Block),
    ("center", Role::Block),
    ("datalist", Role::Skipped),
    ("dd", Role::Block),
    ("details", Role::Block),
    ("dialog", Role::Boilerplate),
    ("dir", Role::List),
    ("div", Role::Block),
    ("dl", Role::Block),
    ("dt", Role::Block),
    ("fieldset", Role::Block),
    ("figcaption", Role::Block),
    ("figure", Role::Block),
    ("footer", Role::Boilerplate),
    ("form", Role::Block),
    ("frameset", Role::Skipped),
    ("h1", Role::Heading(1)),
    ("h2", Role::Heading(2)),
    ("h3", Role::Heading(3)),
    ("h4", Role::Heading(4)),
    ("h5", Role::Heading(5)),
    ("h6", Role::Heading(6)),
    ("header", Role::Header),
    ("hgroup", Role::Block),
    ("hr", Role::Rule),
    ("html", Role::Block),
    ("iframe", Role::Raw),
    ("legend", Role::Block),
    ("li", Role::Item),
    ("listing", Role::Preformatted),
    ("main", Role::Main),
    ("menu", Role::List),
    ("nav", Role::Boilerplate),
    ("noembed", Role::Raw),
    ("noframes", Role::Raw),
    ("noscript", Role::Raw),
    ("object", Role::Skipped),
    ("ol", Role::OrderedList),
    ("optgroup", Role::Skipped),
    ("option", Role::Skipped),
    ("p", Role::Block),
    ("plaintext", Role::Preformatted),
    ("pre", Role::Preformatted),
    ("script", Role::Raw),
    ("search", Role::Boilerplate),
    ("section", Role::Block),
    ("select", Role::Skipped),
    ("style", Role::Raw),
    ("summary", Role::Block),
    ("svg", Role::Skipped),
    ("table", Role::Table),
    ("tbody", Role::Block),
    ("td", Role::Cell),
    ("template", Role::Skipped),
    ("textarea", Role::Raw),
    ("tfoot", Role::Block),
    ("th", Role::HeaderCell),
    ("thead", Role::TableHead),
    ("title", Role::Title),
    ("tr", Role::Row),
    ("ul", Role::List),
    ("xmp", Role::Preformatted),
];

impl Role {
    pub(super) fn of(name: &str) -> Self {
        let found = ROLES.binary_search_by(|(entry, _)| (*entry).cmp(name));
        found.map_or(Self::Inline, |at| ROLES[at].1)
    }

    /// Whether the element stays open until its end, and is kept on the stack.
    pub(super) fn opens(self) -> bool {
        !matches!(self, Self::LineBreak | Self::Rule | Self::Inline)
    }
}

/// The names that the start of an element closes when they are open, up to a boundary.
pub(super) fn implied_ends(name: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match name {
        "li" => (&["li"], &["ul", "ol", "menu", "dir"]),
        "dt" | "dd" => (&["dt", "dd"], &["dl"]),
        "tr" => (&["td", "th", "tr", "caption"], &["table"]),
        "td" | "th" => (&["td", "th"], &["tr", "table"]),
        "tbody" | "thead" | "tfoot" => {
            (&["td", "th", "tr", "thead", "tbody", "tfoot", "caption"], &["table"])
        }
        "option" | "optgroup" => (&["option"], &["select", "datalist"]),
        _ => (&[], &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(ROLES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(Role::of("h3"), Role::Heading(3));
        assert_eq!(Role::of("em"), Role::Inline);
    }
}
