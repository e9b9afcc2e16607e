//! PPTX: the slides in their order, with titles, lists, tables and notes.

use super::{
    super::{
        File,
        archive::Archive,
        xml::{Node, Xml, decode},
    },
    Relation, main_part, relations, target, title,
};
use crate::{Document, Error, Format, Numbering, Result, builder::Builder};

const FORMAT: &str = "PPTX";

pub(crate) fn parse(file: &File<'_>) -> Result<Document> {
    let mut archive = Archive::open(file.bytes, FORMAT, file.limits)?;
    let main = main_part(&mut archive, file)?
        .ok_or_else(|| Error::damaged(FORMAT, "it does not say which part is the presentation"))?;
    let parts = relations(&mut archive, &main, file)?;
    let bytes = archive.need(&main)?;
    let mut builder = file.builder(Format::Pptx);
    title(&mut archive, file, &mut builder)?;
    for (index, name) in slides(&decode(&bytes), &parts, file)?.iter().enumerate() {
        builder.page(Numbering::Slide, index + 1)?;
        let Some(bytes) = archive.read(name)? else { continue };
        slide(&decode(&bytes), file, &mut builder)?;
        let parts = relations(&mut archive, name, file)?;
        if let Some(notes) = target(&parts, "notesSlide")
            && let Some(bytes) = archive.read(notes)?
        {
            notes_of(&decode(&bytes), file, &mut builder)?;
        }
    }
    builder.finish()
}

/// The names of the slides, in order.
fn slides(text: &str, parts: &[Relation], file: &File<'_>) -> Result<Vec<String>> {
    let mut xml = Xml::new(text, FORMAT, file);
    let mut slides = Vec::new();
    while let Some(node) = xml.next()? {
        if let Node::Start(element) = node
            && element.name() == "sldId"
            && let Some(id) = element.prefixed("id")
        {
            slides.extend(parts.iter().find(|part| part.id == id).map(|part| part.target.clone()));
        }
    }
    Ok(slides)
}

/// What a shape is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Title,
    /// The text of the slide, as a list.
    Body,
    /// Its number, date or footer.
    Furniture,
    Other,
}

/// A paragraph of a shape, and its level in lists.
type Line = (usize, String);

fn slide(text: &str, file: &File<'_>, builder: &mut Builder<'_>) -> Result<()> {
    read(text, file, builder, |shape, lines, builder| match shape {
        Shape::Title => {
            let words: Vec<String> = lines.into_iter().map(|line| line.1).collect();
            builder.heading(1, &words.join(" "))
        }
        Shape::Body if lines.len() > 1 => {
            lines.iter().try_for_each(|(level, text)| builder.item(*level, "-", text))
        }
        Shape::Furniture => Ok(()),
        Shape::Body | Shape::Other => {
            lines.iter().try_for_each(|(_, text)| builder.paragraph(text))
        }
    })
}

/// The notes of a slide, without the picture of the slide and the number of the page.
fn notes_of(text: &str, file: &File<'_>, builder: &mut Builder<'_>) -> Result<()> {
    read(text, file, builder, |shape, lines, builder| {
        if shape != Shape::Body {
            return Ok(());
        }
        lines.iter().try_for_each(|(_, text)| builder.paragraph(text))
    })
}

/// Reads the shapes of a slide. Titles come first, whatever their order.
fn read(
    text: &str,
    file: &File<'_>,
    builder: &mut Builder<'_>,
    mut write: impl FnMut(Shape, Vec<Line>, &mut Builder<'_>) -> Result<()>,
) -> Result<()> {
    let mut xml = Xml::new(text, FORMAT, file);
    let mut shape = Shape::Other;
    let (mut lines, mut later): (Vec<Line>, Vec<(Shape, Part)>) = (Vec::new(), Vec::new());
    let mut table: Option<Table> = None;
    let mut bytes = 0;
    while let Some(node) = xml.next()? {
        match node {
            Node::Start(element) => match element.name() {
                // The same again for old programs.
                "Fallback" => xml.skip()?,
                "sp" => shape = Shape::Other,
                "ph" => {
                    shape = match element.attribute("type").as_deref() {
                        Some("title" | "ctrTitle") => Shape::Title,
                        Some("sldNum" | "dt" | "ftr" | "hdr" | "sldImg") => Shape::Furniture,
                        None | Some("body" | "obj") => Shape::Body,
                        Some(_) => Shape::Other,
                    };
                }
                "p" => lines.push((0, String::new())),
                "pPr" => {
                    let level = element.attribute("lvl").and_then(|level| level.parse().ok());
                    if let (Some(line), Some(level)) = (lines.last_mut(), level) {
                        line.0 = level;
                    }
                }
                "t" => {
                    let text = xml.text()?;
                    bytes += text.len();
                    builder.check_text(bytes)?;
                    if let Some(line) = lines.last_mut() {
                        line.1.push_str(&text);
                    }
                }
                "br" => {
                    if let Some(line) = lines.last_mut() {
                        line.1.push('\n');
                    }
                }
                "tbl" => table = Some(Table::default()),
                "tblPr" => {
                    if let Some(table) = &mut table {
                        table.header =
                            usize::from(element.attribute("firstRow").is_some_and(|on| on == "1"));
                    }
                }
                "tr" => {
                    if let Some(table) = &mut table {
                        table.rows.push(Vec::new());
                    }
                }
                _ => {}
            },
            Node::End(name) => match name.as_str() {
                "tc" => {
                    let cell = std::mem::take(&mut lines).into_iter().map(|line| line.1);
                    let cell = cell.collect::<Vec<_>>().join(" ");
                    if let Some(row) = table.as_mut().and_then(|table| table.rows.last_mut()) {
                        row.push(cell);
                    }
                }
                "tbl" => later.extend(table.take().map(|table| (Shape::Other, Part::Table(table)))),
                "txBody" if table.is_none() => {
                    lines.retain(|line| !line.1.trim().is_empty());
                    let lines = std::mem::take(&mut lines);
                    if shape == Shape::Title {
                        write(shape, lines, builder)?;
                    } else {
                        later.push((shape, Part::Lines(lines)));
                    }
                }
                _ => {}
            },
            Node::Text(_) => {}
        }
    }
    for (shape, part) in later {
        match part {
            Part::Lines(lines) => write(shape, lines, builder)?,
            Part::Table(table) => builder.table(&table.rows, table.header)?,
        }
    }
    Ok(())
}

enum Part {
    Lines(Vec<Line>),
    Table(Table),
}

#[derive(Default)]
struct Table {
    rows: Vec<Vec<String>>,
    header: usize,
}
