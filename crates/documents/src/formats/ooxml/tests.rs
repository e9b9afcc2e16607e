use crate::{
    Cells, Document, Error, ErrorKind, Hints, Limits, Numbering,
    formats::tests::{blocks, zip},
    parse,
};

const RELS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

/// The references of a part, by id, kind and target.
pub(crate) fn relations(list: &[(&str, &str, &str)]) -> String {
    let relation = |(id, kind, target): &(&str, &str, &str)| {
        format!("<Relationship Id='{id}' Type='{RELS}/{kind}' Target='{target}'/>")
    };
    format!("<Relationships>{}</Relationships>", list.iter().map(relation).collect::<String>())
}

fn read(members: &[(&str, &str)]) -> Result<Document, Error> {
    parse(&zip(members), &Hints::default(), &Limits::default())
}

fn docx(body: &str) -> Result<Document, Error> {
    read(&[
        ("_rels/.rels", &relations(&[("r1", "officeDocument", "word/document.xml")])),
        (
            "word/_rels/document.xml.rels",
            &relations(&[
                ("r1", "styles", "styles.xml"),
                ("r2", "numbering", "numbering.xml"),
                ("r3", "footnotes", "footnotes.xml"),
            ]),
        ),
        (
            "docProps/core.xml",
            "<cp:coreProperties><dc:title>The plan</dc:title></cp:coreProperties>",
        ),
        (
            "word/styles.xml",
            "<w:styles><w:style w:styleId='berschrift1'><w:name w:val='heading 1'/></w:style>\
             <w:style w:styleId='Own'><w:name w:val='Own'/><w:basedOn w:val='berschrift1'/></w:style>\
             <w:style w:styleId='Deep'><w:name w:val='x'/><w:pPr><w:outlineLvl w:val='2'/></w:pPr>\
             </w:style><w:style w:styleId='Steps'><w:pPr><w:numPr><w:numId w:val='3'/></w:numPr></w:pPr>\
             </w:style></w:styles>",
        ),
        (
            "word/numbering.xml",
            "<w:numbering><w:abstractNum w:abstractNumId='7'><w:lvl w:ilvl='0'>\
             <w:numFmt w:val='decimal'/></w:lvl><w:lvl w:ilvl='1'><w:numFmt w:val='bullet'/></w:lvl>\
             </w:abstractNum><w:num w:numId='3'><w:abstractNumId w:val='7'/></w:num></w:numbering>",
        ),
        (
            "word/footnotes.xml",
            "<w:footnotes><w:footnote><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>",
        ),
        (
            "word/document.xml",
            &format!("<w:document xmlns:w='w'><w:body>{body}</w:body></w:document>"),
        ),
    ])
}

fn paragraph(properties: &str, text: &str) -> String {
    format!("<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>")
}

fn cells(texts: [&str; 2]) -> String {
    let cell = |text: &str| format!("<w:tc>{}</w:tc>", paragraph("", text));
    format!("<w:tr>{}</w:tr>", texts.map(cell).concat())
}

#[test]
fn a_text_is_read_by_its_styles() {
    let item = |level: u8, text: &str| {
        let list = format!("<w:numPr><w:ilvl w:val='{level}'/><w:numId w:val='3'/></w:numPr>");
        paragraph(&list, text)
    };
    let body = [
        paragraph("<w:pStyle w:val='berschrift1'/>", "One"),
        paragraph("<w:pStyle w:val='Own'/>", "Two"),
        paragraph("<w:pStyle w:val='Deep'/>", "Three"),
        paragraph("", "Text &amp; more<w:tab/>"),
        "<w:p><w:r><w:t>Split</w:t></w:r><w:del><w:r><w:t>gone</w:t></w:r></w:del>\
         <w:r><w:br/><w:t xml:space='preserve'> words</w:t></w:r></w:p>"
            .to_owned(),
        item(0, "a"),
        item(1, "b"),
        paragraph("<w:pStyle w:val='Steps'/>", "c"),
        format!(
            "<w:tbl><w:tblPr><w:tblLook w:val='04A0'/></w:tblPr>{}{}</w:tbl>",
            cells(["h", "i"]),
            cells(["1", "2"])
        ),
    ]
    .concat();
    let document = docx(&body).unwrap();
    assert_eq!(document.title(), Some("The plan"));
    assert_eq!(
        blocks(&document),
        [
            ("heading 1", "One"),
            ("heading 1", "Two"),
            ("heading 3", "Three"),
            ("paragraph", "Text & more"),
            ("paragraph", "Split\n words"),
            ("item 0", "1. a"),
            ("item 1", "- b"),
            ("item 0", "2. c"),
            ("table 2/1", "h | i\n1 | 2"),
            ("paragraph", "A note."),
        ]
        .map(|(kind, text)| (kind.to_owned(), text))
    );
}

#[test]
fn a_text_box_is_read_once() {
    let body = format!(
        "<w:p><w:r><w:t>Around</w:t><mc:AlternateContent><mc:Choice><w:txbxContent>{}</w:txbxContent>\
         </mc:Choice><mc:Fallback><w:txbxContent>{}</w:txbxContent></mc:Fallback>\
         </mc:AlternateContent></w:r></w:p>",
        paragraph("", "Inside"),
        paragraph("", "Inside")
    );
    assert_eq!(docx(&body).unwrap().text(), "Inside\n\nAround\n\nA note.");
}

#[test]
fn document_types_are_refused() {
    let bomb = "<!DOCTYPE a [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><w:document/>";
    for text in [bomb, "<!DOCTYPE a SYSTEM 'http://example.com/a.dtd'><w:document/>"] {
        let error = read(&[
            ("_rels/.rels", &relations(&[("r1", "officeDocument", "word/document.xml")])),
            ("word/document.xml", text),
        ])
        .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged);
        assert!(error.message.contains("document type"), "{error}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    let error = docx(&"<w:sdt>".repeat(100_000)).unwrap_err();
    assert!(error.message.contains("`nesting`"), "{error}");
}

#[test]
fn unknown_entities_stay_as_they_are() {
    let document = docx(&paragraph("", "a &what; b &#x41;")).unwrap();
    assert!(document.text().starts_with("a &what; b A"), "{}", document.text());
}

#[test]
fn slides_come_in_their_order_with_notes() {
    let shape = |kind: &str, paragraphs: &[(usize, &str)]| {
        let line = |(level, text): &(usize, &str)| {
            format!("<a:p><a:pPr lvl='{level}'/><a:r><a:t>{text}</a:t></a:r></a:p>")
        };
        let lines: String = paragraphs.iter().map(line).collect();
        format!("<p:sp><p:nvPr>{kind}</p:nvPr><p:txBody>{lines}</p:txBody></p:sp>")
    };
    let slide =
        |shapes: &[String]| format!("<p:sld><p:spTree>{}</p:spTree></p:sld>", shapes.concat());
    let table = "<p:graphicFrame><a:tbl><a:tblPr firstRow='1'/>\
        <a:tr><a:tc><a:txBody><a:p><a:r><a:t>h</a:t></a:r></a:p></a:txBody></a:tc>\
        <a:tc><a:txBody><a:p><a:r><a:t>i</a:t></a:r></a:p></a:txBody></a:tc></a:tr>\
        <a:tr><a:tc><a:txBody><a:p><a:r><a:t>1</a:t></a:r></a:p></a:txBody></a:tc>\
        <a:tc><a:txBody><a:p><a:r><a:t>2</a:t></a:r></a:p></a:txBody></a:tc></a:tr></a:tbl></p:graphicFrame>";
    let document = read(&[
        ("_rels/.rels", &relations(&[("r1", "officeDocument", "ppt/presentation.xml")])),
        (
            "ppt/presentation.xml",
            "<p:presentation><p:sldIdLst><p:sldId id='256' r:id='r2'/><p:sldId id='257' r:id='r1'/>\
             </p:sldIdLst></p:presentation>",
        ),
        (
            "ppt/_rels/presentation.xml.rels",
            &relations(&[
                ("r1", "slide", "slides/slide1.xml"),
                ("r2", "slide", "slides/slide2.xml"),
            ]),
        ),
        (
            "ppt/slides/slide1.xml",
            &slide(&[shape("<p:ph type='title'/>", &[(0, "Last")]), table.to_owned()]),
        ),
        (
            "ppt/slides/slide2.xml",
            &slide(&[
                shape("<p:ph idx='1'/>", &[(0, "a"), (1, "b")]),
                shape("<p:ph type='ctrTitle'/>", &[(0, "First")]),
                shape("<p:ph type='sldNum'/>", &[(0, "1")]),
                shape("", &[(0, "Free text")]),
            ]),
        ),
        (
            "ppt/slides/_rels/slide2.xml.rels",
            &relations(&[("r1", "notesSlide", "../notesSlides/n1.xml")]),
        ),
        ("ppt/notesSlides/n1.xml", &slide(&[shape("<p:ph type='body'/>", &[(0, "Say hello.")])])),
    ])
    .unwrap();
    assert_eq!(
        blocks(&document),
        [
            ("heading 1", "First"),
            ("item 0", "- a"),
            ("item 1", "- b"),
            ("paragraph", "Free text"),
            ("paragraph", "Say hello."),
            ("heading 1", "Last"),
            ("table 2/1", "h | i\n1 | 2"),
        ]
        .map(|(kind, text)| (kind.to_owned(), text))
    );
    assert_eq!(document.numbering(), Some(Numbering::Slide));
    let slides: Vec<_> = document.blocks().iter().filter_map(|block| block.page).collect();
    assert_eq!(slides, [1, 1, 1, 1, 1, 2, 2]);
}

fn xlsx(rows: &str) -> Result<Document, Error> {
    parse(&workbook(rows), &Hints::default(), &Limits::default())
}

fn workbook(rows: &str) -> Vec<u8> {
    zip(&[
        ("_rels/.rels", &relations(&[("r1", "officeDocument", "xl/workbook.xml")])),
        (
            "xl/workbook.xml",
            "<workbook><sheets><sheet name='Costs' sheetId='1' r:id='r1'/></sheets></workbook>",
        ),
        (
            "xl/_rels/workbook.xml.rels",
            &relations(&[
                ("r1", "worksheet", "/xl/worksheets/sheet1.xml"),
                ("r2", "sharedStrings", "sharedStrings.xml"),
                ("r3", "styles", "styles.xml"),
            ]),
        ),
        (
            "xl/sharedStrings.xml",
            "<sst><si><t>name</t></si><si><r><t>to</t></r><r><t>tal</t></r><rPh><t>no</t></rPh></si></sst>",
        ),
        (
            "xl/styles.xml",
            "<styleSheet><numFmts><numFmt numFmtId='164' formatCode='yyyy\\-mm'/></numFmts><cellStyleXfs>\
             <xf numFmtId='9'/></cellStyleXfs><cellXfs><xf numFmtId='0'/><xf numFmtId='164'/></cellXfs></styleSheet>",
        ),
        (
            "xl/worksheets/sheet1.xml",
            &format!("<worksheet><sheetData>{rows}</sheetData></worksheet>"),
        ),
    ])
}

#[test]
fn a_sheet_is_a_table() {
    let document = xlsx(
        "<row r='1'><c r='B1' t='s'><v>0</v></c><c r='D1' t='s'><v>1</v></c></row>\
         <row r='2'/><row r='3'><c r='B3' t='inlineStr'><is><t>a | b</t></is></c>\
         <c r='D3'><f>1+1</f><v>0.30000000000000004</v></c></row>\
         <row r='4'><c r='B4' s='1'><v>45291</v></c><c r='D4' t='b'><v>1</v></c></row>",
    )
    .unwrap();
    assert_eq!(
        blocks(&document),
        [("heading 1", "Costs"), ("table 3/1", "name | total\na | b | 0.3\n2023-12-31 | TRUE"),]
            .map(|(kind, text)| (kind.to_owned(), text))
    );
    assert_eq!(document.blocks()[0].page, Some(1));
}

#[test]
fn the_cells_of_a_sheet_keep_their_types() {
    let file = workbook(
        "<row r='1'><c r='B1' t='s'><v>0</v></c><c r='D1' t='s'><v>1</v></c></row>\
         <row r='2'/><row r='3'><c r='B3' t='inlineStr'><is><t>a | b </t></is></c>\
         <c r='D3'><f>1+1</f><v>0.5</v></c></row>\
         <row r='4'><c r='B4' s='1'><v>45291</v></c><c r='D4' t='b'><v>1</v></c></row>\
         <row r='5'><c r='D5'><v>42</v></c></row>",
    );
    let hints = Hints::cells(Cells::Xlsx);
    let document = parse(&file, &hints, &Limits::default()).unwrap();
    let rows: Vec<&str> = document.text().lines().collect();
    let wanted =
        [r#"["name","total"]"#, r#"["a | b ",0.5]"#, r#"["2023-12-31",true]"#, "[null,42]"];
    assert_eq!(rows, wanted);
    let limits = Limits { table_cells: 4, ..Limits::default() };
    assert_eq!(parse(&file, &hints, &limits).unwrap_err().kind, ErrorKind::TooLarge);
    assert_eq!(parse(b"a,b", &hints, &limits).unwrap_err().kind, ErrorKind::Damaged);
    let empty = parse(&workbook(""), &hints, &limits).unwrap_err();
    assert_eq!(empty.kind, ErrorKind::NoText);
}

#[test]
fn the_cells_of_a_csv_file_are_texts() {
    let read =
        |text: &str, limits: &Limits| parse(text.as_bytes(), &Hints::cells(Cells::Csv), limits);
    let document = read("a,b\n\n1,\"x, y\"\n,\n", &Limits::default()).unwrap();
    assert_eq!(document.text(), "[\"a\",\"b\"]\n[\"1\",\"x, y\"]\n[null,null]\n");
    let few = Limits { table_cells: 3, ..Limits::default() };
    assert_eq!(read("a,b\n1,2\n", &few).unwrap_err().kind, ErrorKind::TooLarge);
    assert_eq!(read(" \n\n", &few).map(|document| document.text().len()), Ok(6));
    assert_eq!(read("\n\n", &few).unwrap_err().kind, ErrorKind::NoText);
}

#[test]
fn a_sheet_of_absurd_dimensions_costs_what_is_in_it() {
    let document = xlsx(
        "<row r='1'><c r='A1'><v>1</v></c></row>\
         <row r='1048576'><c r='XFD1048576'><v>2</v></c><c r='ZZZZZZ9'><v>3</v></c></row>",
    )
    .unwrap();
    assert_eq!(document.text(), "Costs\n\n1 |\n| 2");
}

#[test]
fn a_sheet_of_one_cell_in_each_column_is_refused() {
    let row = |column: usize| {
        let letters = [column / 676, column / 26 % 26, column % 26];
        let name: String =
            letters.iter().map(|l| char::from(b'A' + u8::try_from(*l).unwrap())).collect();
        format!("<row><c r='{name}1'><v>1</v></c></row>")
    };
    let error = xlsx(&(0..10_000).map(row).collect::<String>()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
}
