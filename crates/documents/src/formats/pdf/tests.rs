use crate::{Document, Error, ErrorKind, Hints, Limits, Numbering, formats::tests::blocks, parse};
use flate2::{Compression, write::ZlibEncoder};
use std::io::Write;

/// A file of these objects, the first being the catalog, with a table of where they are.
pub(crate) fn file(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"%PDF-1.7\n".to_vec();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(out.len());
        out.extend(format!("{} 0 obj\n", index + 1).bytes());
        out.extend(object);
        out.extend(b"\nendobj\n");
    }
    let table = out.len();
    out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
    for place in places {
        out.extend(format!("{place:010} 00000 n \n").bytes());
    }
    let trailer = format!(
        "trailer\n<</Size {}/Root 1 0 R/Info 4 0 R>>\nstartxref\n{table}\n%%EOF",
        objects.len() + 1
    );
    out.extend(trailer.bytes());
    out
}

pub(crate) fn stream(entries: &str, data: &[u8]) -> Vec<u8> {
    let head = format!("<<{entries}/Length {}>>\nstream\n", data.len());
    [head.as_bytes(), data, b"\nendstream"].concat()
}

pub(crate) fn deflated(entries: &str, data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    stream(&format!("{entries}/Filter/FlateDecode"), &encoder.finish().unwrap())
}

/// A file of pages with these contents and resources; `more` objects are numbered from 100.
pub(crate) fn pages(contents: &[Vec<u8>], resources: &str, more: &[Vec<u8>]) -> Vec<u8> {
    let kids: Vec<String> =
        (0..contents.len()).map(|page| format!("{} 0 R", 10 + page * 2)).collect();
    let kids = kids.join(" ");
    let mut objects: Vec<Vec<u8>> = vec![
        b"<</Type/Catalog/Pages 2 0 R>>".to_vec(),
        format!("<</Type/Pages/Kids[{kids}]/Count {}/Resources<<{resources}>>>>", contents.len())
            .into(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>".to_vec(),
        b"<</Title(The plan)>>".to_vec(),
    ];
    objects.resize(9, b"null".to_vec());
    for (page, content) in contents.iter().enumerate() {
        let contents = 11 + page * 2;
        objects.push(
            format!("<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {contents} 0 R>>")
                .into(),
        );
        objects.push(content.clone());
    }
    objects.resize(99, b"null".to_vec());
    objects.extend(more.iter().cloned());
    file(&objects)
}

const FONTS: &str = "/Font<</F1 3 0 R>>";

pub(crate) fn simple() -> Vec<u8> {
    let one =
        b"BT /F1 24 Tf 72 700 Td (A title) Tj /F1 10 Tf 0 -40 Td (Some words \\(of text\\)) Tj \
        0 -12 Td [(th)-20(at) -400 (goes on.)] TJ 0 -40 Td (Another \\344 paragraph.) Tj ET";
    let two =
        b"BT /F1 10 Tf 1 0 0 1 72 700 Tm (On page two, with enough words to be the body.) Tj ET";
    pages(&[deflated("", one), stream("", two)], FONTS, &[])
}

fn read(file: &[u8]) -> Result<Document, Error> {
    parse(file, &Hints::default(), &Limits::default())
}

fn text_of(content: &[u8]) -> String {
    read(&pages(&[stream("", content)], FONTS, &[])).unwrap().text().to_owned()
}

#[test]
fn pages_become_paragraphs_and_headings() {
    let document = read(&simple()).unwrap();
    assert_eq!(document.title(), Some("The plan"));
    assert_eq!(document.numbering(), Some(Numbering::Page));
    assert_eq!(
        blocks(&document),
        [
            ("heading 1", "A title"),
            ("paragraph", "Some words (of text)\nthat goes on."),
            ("paragraph", "Another ä paragraph."),
            ("paragraph", "On page two, with enough words to be the body."),
        ]
        .map(|(kind, text)| (kind.to_owned(), text))
    );
    let pages: Vec<_> = document.blocks().iter().filter_map(|block| block.page).collect();
    assert_eq!(pages, [1, 1, 1, 2]);
}

#[test]
fn turned_text_is_read() {
    assert_eq!(
        text_of(b"BT /F1 10 Tf 0 1 -1 0 300 100 Tm (Turned) Tj ( text) Tj ET"),
        "Turned text"
    );
}

#[test]
fn instructions_move_the_text() {
    let content =
        b"q 2 0 0 2 0 0 cm BT /F1 10 Tf 12 TL 50 300 Td (one) Tj T* (two) Tj (three) ' ET Q";
    assert_eq!(text_of(content), "one\ntwo\nthree");
}

#[test]
fn fonts_map_their_codes() {
    let map = b"1 begincodespacerange <0000> <ffff> endcodespacerange \
        2 beginbfchar <0001> <732B> <0002> <D83DDE00> endbfchar \
        1 beginbfrange <0010> <0012> <0061> endbfrange";
    let more = [
        b"<</Type/Font/Subtype/Type0/Encoding/Identity-H/DescendantFonts[101 0 R]/ToUnicode 102 0 R>>".to_vec(),
        b"<</Subtype/CIDFontType2/DW 1000/W[16[500 500] 18 19 500]>>".to_vec(),
        deflated("", map),
        b"<</Type/Font/Subtype/Type1/BaseFont/X/Encoding<</Differences[65/fi/odieresis/uni20AC]>>>>".to_vec(),
        b"<</Type/Font/Subtype/Type0/Encoding/90ms-RKSJ-H/DescendantFonts[101 0 R]>>".to_vec(),
    ];
    let content =
        b"BT 72 700 Td /F1 10 Tf <000100020010001100120099> Tj 0 -12 Td /F2 10 Tf (ABCd) Tj \
        0 -12 Td /F3 10 Tf <944c> Tj ET";
    let resources = "/Font<</F1 100 0 R/F2 103 0 R/F3 104 0 R>>";
    let document = read(&pages(&[stream("", content)], resources, &more)).unwrap();
    assert_eq!(document.text(), "猫😀abc\nfiö€d\n猫");
}

#[test]
fn forms_are_read_and_may_show_themselves() {
    let form = stream(
        "/Type/XObject/Subtype/Form/Resources<</Font<</F1 3 0 R>>/XObject<</Me 100 0 R>>>>",
        b"BT /F1 10 Tf 72 500 Td (In a form) Tj ET",
    );
    let resources = "/Font<</F1 3 0 R>>/XObject<</Fm 100 0 R>>";
    let content = stream("", b"/Fm Do");
    assert_eq!(
        read(&pages(std::slice::from_ref(&content), resources, &[form])).unwrap().text(),
        "In a form"
    );
    let itself = stream(
        "/Type/XObject/Subtype/Form/Resources<</Font<</F1 3 0 R>>/XObject<</Me 100 0 R>>>>",
        b"BT /F1 10 Tf 72 500 Td (x) Tj ET /Me Do",
    );
    assert!(read(&pages(&[content], resources, &[itself])).is_ok());
}

#[test]
fn forms_that_show_each_other_twice_end_in_time() {
    let form = |next: usize| {
        let entries = format!("/Subtype/Form/Resources<</XObject<</Next {next} 0 R>>>>");
        stream(&entries, b"/Next Do /Next Do")
    };
    let forms: Vec<Vec<u8>> = (101..130).map(form).collect();
    let file = pages(&[stream("", b"/Fm Do")], "/XObject<</Fm 100 0 R>>", &forms);
    let limits = Limits { time: std::time::Duration::from_millis(300), ..Limits::default() };
    let error = parse(&file, &Hints::default(), &limits).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
}

#[test]
fn a_tree_of_pages_may_lead_back() {
    let mut objects = vec![
        b"<</Type/Catalog/Pages 2 0 R>>".to_vec(),
        b"<</Type/Pages/Kids[3 0 R 2 0 R]/Count 2>>".to_vec(),
        b"<</Type/Page/Parent 2 0 R/Contents 5 0 R/Resources<</Font<</F1 6 0 R>>>>>>".to_vec(),
        b"null".to_vec(),
        stream("", b"BT /F1 10 Tf (Once) Tj ET"),
        b"<</Type/Font/Subtype/TrueType>>".to_vec(),
    ];
    assert_eq!(read(&file(&objects)).unwrap().text(), "Once");
    objects[4] = b"5 0 R".to_vec();
    assert!(read(&file(&objects)).is_err());
}

#[test]
fn a_scan_has_no_text() {
    let image = stream("/Type/XObject/Subtype/Image/Width 1/Height 1", b"\0");
    let file =
        pages(&[stream("", b"q 612 0 0 792 0 0 cm /Im Do Q")], "/XObject<</Im 100 0 R>>", &[image]);
    let error = read(&file).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoText);
    assert!(error.message.contains("OCR"), "{error}");
}

#[test]
fn fonts_without_a_meaning_are_named() {
    let font =
        b"<</Type/Font/Subtype/Type0/Encoding/Identity-H/DescendantFonts[101 0 R]>>".to_vec();
    let more = [font, b"<</Subtype/CIDFontType2>>".to_vec()];
    let file = pages(&[stream("", b"BT /F1 10 Tf <0001> Tj ET")], "/Font<</F1 100 0 R>>", &more);
    assert!(read(&file).unwrap_err().message.contains("which letters"));
}

#[test]
fn encrypted_files_are_called_so() {
    let mut file = simple();
    let entry = "/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<00000000000000000000000000000000\
        00000000000000000000000000000000>/U<00000000000000000000000000000000\
        00000000000000000000000000000000>>>/ID[<01><01>]/Root 1 0 R";
    let at = memchr::memmem::rfind(&file, b"/Root 1 0 R").unwrap();
    file.splice(at..at + b"/Root 1 0 R".len(), entry.bytes());
    assert_eq!(read(&file).unwrap_err().kind, ErrorKind::Encrypted);
}

#[test]
fn a_file_without_a_table_is_repaired() {
    let file = simple();
    let at = memchr::memmem::rfind(&file, b"xref\n0").unwrap();
    let document = read(&file[..at]).unwrap();
    assert!(document.text().contains("that goes on"));
}

#[test]
fn large_streams_are_refused() {
    let limits = Limits { archive_bytes: 1 << 20, ..Limits::default() };
    let bomb = deflated("", &vec![b' '; 4 << 20]);
    let error = parse(&pages(&[bomb], FONTS, &[]), &Hints::default(), &limits).unwrap_err();
    assert!(error.message.contains("`archive_bytes`"), "{error}");
    let hidden = deflated("/Type/ObjStm/N 1/First 4", &vec![b' '; 4 << 20]);
    let file = pages(&[stream("", b"")], FONTS, &[hidden]);
    let error = parse(&file, &Hints::default(), &limits).unwrap_err();
    assert!(error.message.contains("`archive_bytes`"), "{error}");
}
