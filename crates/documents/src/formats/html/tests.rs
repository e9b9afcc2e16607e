use crate::{Document, ErrorKind, Hints, Limits, formats::tests::blocks, parse};

fn read(html: &str) -> Document {
    parse(html.as_bytes(), &Hints::name("a.html"), &Limits::default()).unwrap()
}

#[test]
fn a_page_becomes_its_main_text() {
    let document = read(
        "<!DOCTYPE html><html><head><title>The &amp; title</title><style>p{}</style></head><body>\
         <header>Site</header><nav><ul><li>Home</ul></nav><main><h1>One\n <em>two</em></h1>\
         <p>First&nbsp;text<br>over lines<p>Second<script>if (a<b) {}</script> text</p>\
         <ul><li>a<li>b<ol start=3><li>c<li>d</ol></ul>\
         <pre><code class=\"language-Rust\">fn a() {\n    b();\n}\n</code></pre>\
         <table><tr><th>h<th>i<tr><td>1<td>2</table>\
         <div hidden>secret</div><aside>Advert</aside></main><footer>Imprint</footer>",
    );
    assert_eq!(document.title(), Some("The & title"));
    assert_eq!(
        blocks(&document),
        [
            ("heading 1", "One two"),
            ("paragraph", "First text\nover lines"),
            ("paragraph", "Second text"),
            ("item 0", "- a"),
            ("item 0", "- b"),
            ("item 1", "3. c"),
            ("item 1", "4. d"),
            ("code rust", "fn a() {\n    b();\n}"),
            ("table 2/1", "h | i\n1 | 2"),
        ]
        .map(|(kind, text)| (kind.to_owned(), text))
    );
}

#[test]
fn a_page_without_a_main_part_is_read_without_its_navigation() {
    let document = read("<nav>Home</nav><div>Text</div><div>More</div><footer>Imprint</footer>");
    assert_eq!(document.text(), "Text\n\nMore");
}

#[test]
fn a_page_of_nothing_but_navigation_is_read() {
    assert_eq!(read("<nav>Home</nav>").text(), "Home");
}

#[test]
fn tables_for_layout_are_dissolved() {
    let document = read(
        "<table><tr><td><h2>Left</h2><p>Text</p></td><td><table><tr><td>1</td><td>2</td></tr>\
         </table></td></tr></table>",
    );
    assert_eq!(document.text(), "Left\n\nText\n\n1 | 2");
}

#[test]
fn the_head_of_a_table_is_its_header() {
    let document = read(
        "<table><thead><tr><td>a</td><td>b</td></tr></thead>\
         <tbody><tr><th>1</th><td>2</td></tr></tbody></table>",
    );
    assert_eq!(blocks(&document), [("table 2/1".to_owned(), "a | b\n1 | 2")]);
}

#[test]
fn a_page_states_its_charset() {
    for head in [
        "<meta charset=windows-1251>",
        "<meta http-equiv=Content-Type content='text/html; charset=windows-1251'>",
    ] {
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode("<p>Да</p>");
        let page = [head.as_bytes(), &bytes].concat();
        let document = parse(&page, &Hints::name("a.html"), &Limits::default()).unwrap();
        assert_eq!(document.text(), "Да");
    }
}

#[test]
fn xhtml_may_close_scripts_at_once() {
    let document = read(
        "<?xml version='1.0'?><html><head><title/><script src='a'/></head><body><p>Text</p></body></html>",
    );
    assert_eq!(document.text(), "Text");
}

#[test]
fn unclosed_elements_do_not_swallow_the_page() {
    let document = read("<div><button>Go</div><p>One<select><option>x</select> two");
    assert_eq!(document.text(), "One two");
}

#[test]
fn deep_nesting_is_refused() {
    let page = "<div>".repeat(100_000) + "text";
    let error = parse(page.as_bytes(), &Hints::name("a.html"), &Limits::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(error.message.contains("`nesting`"), "{error}");
}

#[test]
fn inline_elements_may_be_left_open() {
    let page = "<p>".to_owned() + &"<b><i>".repeat(100_000) + "text";
    assert_eq!(read(&page).text(), "text");
}

#[test]
fn many_cells_are_refused() {
    let limits = Limits { table_cells: 100, ..Limits::default() };
    let page = "<table><tr>".to_owned() + &"<td>a".repeat(101);
    let error = parse(page.as_bytes(), &Hints::name("a.html"), &limits).unwrap_err();
    assert!(error.message.contains("`table_cells`"), "{error}");
}
