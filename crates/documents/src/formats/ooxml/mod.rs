//! Office files: a zip archive of XML parts that refer to each other.

mod docx;
mod numbers;
mod pptx;
mod xlsx;

#[cfg(test)]
mod tests;

use super::{
    File,
    archive::{Archive, resolve},
    xml::{Node, Xml, decode},
};
use crate::{Result, builder::Builder};

pub(crate) use docx::parse as docx;
pub(crate) use pptx::parse as pptx;
pub(crate) use xlsx::{cells, parse as xlsx};

/// A reference from one part to another.
struct Relation {
    id: String,
    /// The last part of its type, such as `worksheet`.
    kind: String,
    target: String,
}

/// The references of a part; an empty name means the archive itself. Those to the outside are
/// left out: nothing is fetched.
fn relations(archive: &mut Archive<'_>, part: &str, file: &File<'_>) -> Result<Vec<Relation>> {
    let (folder, name) = part.rsplit_once('/').unwrap_or(("", part));
    let slash = if folder.is_empty() { "" } else { "/" };
    let Some(bytes) = archive.read(&format!("{folder}{slash}_rels/{name}.rels"))? else {
        return Ok(Vec::new());
    };
    let text = decode(&bytes);
    let mut xml = Xml::new(&text, "Office", file);
    let mut relations = Vec::new();
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        let external = element.attribute("TargetMode").is_some_and(|mode| mode == "External");
        if element.name() != "Relationship" || external {
            continue;
        }
        let get = |name| element.attribute(name).unwrap_or_default();
        let kind = get("Type").rsplit('/').next().unwrap_or_default().to_owned();
        relations.push(Relation { id: get("Id"), kind, target: resolve(part, &get("Target")) });
    }
    Ok(relations)
}

/// The name of the part that holds the document, if the archive is an Office file.
pub(super) fn main_part(archive: &mut Archive<'_>, file: &File<'_>) -> Result<Option<String>> {
    let relations = relations(archive, "", file)?;
    Ok(relations.into_iter().find(|relation| relation.kind == "officeDocument").map(|r| r.target))
}

/// The target of the first reference of a kind.
fn target<'r>(relations: &'r [Relation], kind: &str) -> Option<&'r str> {
    relations.iter().find(|relation| relation.kind == kind).map(|r| r.target.as_str())
}

/// Takes the title from the properties of the file.
fn title(archive: &mut Archive<'_>, file: &File<'_>, builder: &mut Builder<'_>) -> Result<()> {
    let Some(bytes) = archive.read("docProps/core.xml")? else { return Ok(()) };
    let text = decode(&bytes);
    let mut xml = Xml::new(&text, "Office", file);
    while let Some(node) = xml.next()? {
        if let Node::Start(element) = node
            && element.name() == "title"
        {
            builder.title(&xml.text()?);
        }
    }
    Ok(())
}
