//! Files that are damaged, and files that are made to do harm.

mod damage;
mod hostile;

use crate::formats::tests::zip;

/// A small text document.
fn docx() -> Vec<u8> {
    zip(&docx_members())
}

fn docx_members() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "_rels/.rels",
            "<Relationships><Relationship Id='r' Type='x/officeDocument' Target='word/document.xml'/>\
             </Relationships>",
        ),
        (
            "word/document.xml",
            "<w:document><w:body><w:p><w:r><w:t>Some text of a document.</w:t></w:r></w:p></w:body></w:document>",
        ),
    ]
}

/// A workbook of one sheet with these rows and shared texts.
fn xlsx(rows: &str, strings: &str) -> Vec<u8> {
    let sheet = format!("<worksheet><sheetData>{rows}</sheetData></worksheet>");
    let strings = format!("<sst>{strings}</sst>");
    zip(&[
        (
            "_rels/.rels",
            "<Relationships><Relationship Id='r' Type='x/officeDocument' Target='xl/workbook.xml'/>\
             </Relationships>",
        ),
        ("xl/workbook.xml", "<workbook><sheets><sheet name='S' r:id='a'/></sheets></workbook>"),
        (
            "xl/_rels/workbook.xml.rels",
            "<Relationships><Relationship Id='a' Type='x/worksheet' Target='sheet1.xml'/>\
             <Relationship Id='b' Type='x/sharedStrings' Target='strings.xml'/></Relationships>",
        ),
        ("xl/sheet1.xml", &sheet),
        ("xl/strings.xml", &strings),
    ])
}

/// A book of one chapter.
fn epub(package: &str, chapter: &str) -> Vec<u8> {
    zip(&[
        ("mimetype", "application/epub+zip"),
        (
            "META-INF/container.xml",
            "<container><rootfiles><rootfile full-path='b.opf'/></rootfiles></container>",
        ),
        ("b.opf", package),
        ("c.xhtml", chapter),
    ])
}

const PACKAGE: &str = "<package><manifest><item id='c' href='c.xhtml' media-type='application/xhtml+xml'/>\
    </manifest><spine><itemref idref='c'/></spine></package>";
