//! EPUB: the chapters of the book in their order, each a page of HTML.

use super::{
    File,
    archive::{Archive, resolve},
    html::{self, Syntax},
    xml::{DocumentType, Node, Xml, decode},
};
use crate::{Document, Error, Format, Numbering, Result, format};
use std::collections::HashMap;

const FORMAT: &str = "EPUB";

/// Ways to scramble fonts, which do not concern the text.
const FONTS: [&str; 2] = ["http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"];

pub(crate) fn parse(file: &File<'_>) -> Result<Document> {
    let mut archive = Archive::open(file.bytes, FORMAT, file.limits)?;
    refuse_encrypted(&mut archive, file)?;
    let container = archive.need("META-INF/container.xml")?;
    let package = package_name(&decode(&container), file)?;
    let bytes = archive.need(&package)?;
    let book = read_package(&decode(&bytes), &package, file)?;
    let mut builder = file.builder(Format::Epub);
    builder.title(&book.title);
    for (index, name) in book.chapters.iter().enumerate() {
        builder.page(Numbering::Chapter, index + 1)?;
        let Some(bytes) = archive.read(name)? else { continue };
        let page = html::read(&decode(&bytes), Syntax::Xhtml, file)?;
        html::write(page.pieces, &mut builder)?;
    }
    builder.finish()
}

/// An error when more than fonts is encrypted.
fn refuse_encrypted(archive: &mut Archive<'_>, file: &File<'_>) -> Result<()> {
    let Some(bytes) = archive.read("META-INF/encryption.xml")? else { return Ok(()) };
    let text = decode(&bytes);
    let mut xml = Xml::new(&text, FORMAT, file).allowing(DocumentType::Named);
    while let Some(node) = xml.next()? {
        if let Node::Start(element) = node
            && element.name() == "EncryptionMethod"
            && !FONTS.contains(&element.attribute("Algorithm").unwrap_or_default().as_str())
        {
            return Err(format::encrypted(FORMAT));
        }
    }
    Ok(())
}

fn package_name(text: &str, file: &File<'_>) -> Result<String> {
    let mut xml = Xml::new(text, FORMAT, file).allowing(DocumentType::Named);
    while let Some(node) = xml.next()? {
        if let Node::Start(element) = node
            && element.name() == "rootfile"
            && let Some(path) = element.attribute("full-path")
        {
            return Ok(resolve("", &path));
        }
    }
    Err(Error::damaged(FORMAT, "`META-INF/container.xml` names no book"))
}

#[derive(Default)]
struct Book {
    title: String,
    /// The names of the chapters, in order.
    chapters: Vec<String>,
}

fn read_package(text: &str, package: &str, file: &File<'_>) -> Result<Book> {
    let mut xml = Xml::new(text, FORMAT, file).allowing(DocumentType::Named);
    let mut book = Book::default();
    let mut items: HashMap<String, String> = HashMap::new();
    while let Some(node) = xml.next()? {
        let Node::Start(element) = node else { continue };
        let get = |name| element.attribute(name).unwrap_or_default();
        match element.name() {
            "title" if book.title.is_empty() => book.title = xml.text()?,
            "item" => {
                // The list of contents says again what the chapters say.
                let is_contents = get("properties").split_whitespace().any(|word| word == "nav");
                let is_page =
                    matches!(get("media-type").as_str(), "application/xhtml+xml" | "text/html");
                if is_page && !is_contents {
                    items.insert(get("id"), resolve(package, &get("href")));
                }
            }
            "itemref" => book.chapters.extend(items.get(&get("idref")).cloned()),
            _ => {}
        }
    }
    Ok(book)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ErrorKind, Hints, Limits,
        formats::tests::{blocks, zip},
    };

    const CONTAINER: &str =
        "<container><rootfiles><rootfile full-path='OEBPS/book.opf'/></rootfiles></container>";
    const PACKAGE: &str = "<!DOCTYPE package PUBLIC 'x' 'http://example.com/x.dtd'>\
        <package><metadata><dc:title>A book</dc:title></metadata><manifest>\
        <item id='nav' href='nav.xhtml' media-type='application/xhtml+xml' properties='nav'/>\
        <item id='two' href='text/2%20b.xhtml' media-type='application/xhtml+xml'/>\
        <item id='one' href='../one.xhtml' media-type='application/xhtml+xml'/>\
        <item id='css' href='a.css' media-type='text/css'/></manifest>\
        <spine><itemref idref='nav'/><itemref idref='one'/><itemref idref='two'/></spine></package>";

    fn members() -> Vec<(&'static str, &'static str)> {
        vec![
            ("mimetype", "application/epub+zip"),
            ("META-INF/container.xml", CONTAINER),
            ("OEBPS/book.opf", PACKAGE),
            (
                "one.xhtml",
                "<?xml version='1.0'?><html><head><title/></head><body><h1>One</h1><p>a&nbsp;b</p></body></html>",
            ),
            ("OEBPS/text/2 b.xhtml", "<html><body><h1>Two</h1><p>c</p></body></html>"),
        ]
    }

    fn read(members: &[(&str, &str)]) -> Result<Document> {
        crate::parse(&zip(members), &Hints::default(), &Limits::default())
    }

    #[test]
    fn chapters_come_in_their_order() {
        let document = read(&members()).unwrap();
        assert_eq!(document.title(), Some("A book"));
        assert_eq!(
            blocks(&document),
            [("heading 1", "One"), ("paragraph", "a b"), ("heading 1", "Two"), ("paragraph", "c")]
                .map(|(kind, text)| (kind.to_owned(), text))
        );
        assert_eq!(document.blocks()[2].page, Some(2));
        assert_eq!(document.numbering(), Some(Numbering::Chapter));
    }

    #[test]
    fn protected_books_are_encrypted() {
        let mut members = members();
        members.push((
            "META-INF/encryption.xml",
            "<encryption><EncryptedData><EncryptionMethod Algorithm='http://www.w3.org/2001/04/xmlenc#aes128-cbc'/></EncryptedData></encryption>",
        ));
        assert_eq!(read(&members).unwrap_err().kind, ErrorKind::Encrypted);
    }

    #[test]
    fn scrambled_fonts_do_not_matter() {
        let mut members = members();
        members.push((
            "META-INF/encryption.xml",
            "<encryption><EncryptionMethod Algorithm='http://www.idpf.org/2008/embedding'/></encryption>",
        ));
        assert!(read(&members).is_ok());
    }

    #[test]
    fn a_book_without_a_package_is_damaged() {
        let error = read(&members()[..2]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged);
        assert!(error.message.contains("`OEBPS/book.opf` is missing"), "{error}");
    }
}
