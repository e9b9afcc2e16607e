use super::*;
use bytes::Bytes;

/// Feeds `pieces` and collects what comes out; the last entry is what the end of the stream left.
fn events(pieces: &[&[u8]]) -> Vec<(Option<String>, String)> {
    let mut parser = Events::new(1024);
    let mut out = Vec::new();
    for piece in pieces {
        parser.feed(Bytes::copy_from_slice(piece));
        while let Some(event) = parser.next_event() {
            out.push(event.unwrap());
        }
    }
    out.extend(parser.finish());
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    out.into_iter().map(|event| (event.name.map(text), text(event.data))).collect()
}

fn data(pieces: &[&[u8]]) -> Vec<String> {
    events(pieces).into_iter().map(|(_, data)| data).collect()
}

fn lines(pieces: &[&[u8]]) -> Vec<String> {
    let mut parser = JsonLines::new(1024);
    let mut out = Vec::new();
    for piece in pieces {
        parser.feed(Bytes::copy_from_slice(piece));
        while let Some(line) = parser.next_line() {
            out.push(line.unwrap());
        }
    }
    out.extend(parser.finish());
    out.into_iter().map(|line| String::from_utf8(line.to_vec()).unwrap()).collect()
}

/// What parsing gives must not depend on where the network cuts: in two at every place, and
/// in pieces of every size.
fn check_everywhere<T: PartialEq + std::fmt::Debug>(
    stream: &[u8],
    parse: impl Fn(&[&[u8]]) -> T,
    expected: &T,
) {
    for cut in 0..=stream.len() {
        assert_eq!(&parse(&[&stream[..cut], &stream[cut..]]), expected, "cut at {cut}");
    }
    for size in 1..=stream.len() {
        let pieces: Vec<&[u8]> = stream.chunks(size).collect();
        assert_eq!(&parse(&pieces), expected, "pieces of {size}");
    }
}

#[test]
fn events_do_not_depend_on_where_the_network_cuts() {
    let stream = "\u{feff}: a comment\ndata: {\"text\":\"Grüße 世界 🎉\"}\n\n\
        event: error\r\ndata:first\r\ndata: second\r\n\r\n:\n\n\
        data:  two spaces\rid: 7\r\rdata\ndata\n\nretry: 10\n\nunknown: x\ndata: [DONE]\n\n";
    let expected = [
        (None, "{\"text\":\"Grüße 世界 🎉\"}"),
        (Some("error"), "first\nsecond"),
        (None, " two spaces"),
        (None, "\n"),
        (None, "[DONE]"),
    ];
    let expected: Vec<_> =
        expected.map(|(name, data)| (name.map(str::to_owned), data.to_owned())).to_vec();
    check_everywhere(stream.as_bytes(), events, &expected);
}

#[test]
fn an_event_without_a_blank_line_comes_at_the_end_of_the_stream() {
    check_everywhere(b"data: 1\n\ndata: 2\n", data, &vec!["1".to_owned(), "2".to_owned()]);
    check_everywhere(b"data: 1\n\ndata: 2", data, &vec!["1".to_owned(), "2".to_owned()]);
    check_everywhere(b"data: 1\r\n\r", data, &vec!["1".to_owned()]);
}

#[test]
fn bytes_that_are_no_events_give_no_events() {
    check_everywhere(b"<html>\n<body>502 Bad Gateway\n\n", data, &Vec::new());
    check_everywhere(b"\n\n\n\r\r\n", data, &Vec::new());
    check_everywhere(b"event: ping\n\nid: 3\n\n", data, &Vec::new());
}

#[test]
fn an_event_inside_one_piece_is_not_copied() {
    let piece = Bytes::from_static(b"data: {\"a\":1}\n\n");
    let mut parser = Events::new(1024);
    parser.feed(piece.clone());
    let event = parser.next_event().unwrap().unwrap();
    assert_eq!(event.data.as_ptr(), piece[6..].as_ptr());
}

#[test]
fn an_endless_line_is_cut_off_at_the_limit() {
    let mut parser = Events::new(100);
    parser.feed(Bytes::from_static(b"data: "));
    assert_eq!(parser.next_event(), None);
    for _ in 0..9 {
        parser.feed(Bytes::from_static(b"0123456789"));
        assert_eq!(parser.next_event(), None);
    }
    parser.feed(Bytes::from_static(b"0123456789"));
    assert_eq!(parser.next_event(), Some(Err(TooLong(100))));
}

#[test]
fn an_event_of_endless_lines_is_cut_off_at_the_limit() {
    let mut parser = Events::new(100);
    let line = Bytes::from_static(b"data: 0123456789\n");
    let outcome = (0..1000).find_map(|_| {
        parser.feed(line.clone());
        parser.next_event()
    });
    assert_eq!(outcome, Some(Err(TooLong(100))));
}

#[test]
fn json_lines_do_not_depend_on_where_the_network_cuts() {
    let stream = "{\"a\":\"ü🎉\"}\n\n{\"b\":1}\r\n  \r\n{\"c\":\"\\r\"}";
    let expected = ["{\"a\":\"ü🎉\"}", "{\"b\":1}", "{\"c\":\"\\r\"}"].map(str::to_owned).to_vec();
    check_everywhere(stream.as_bytes(), lines, &expected);
}

#[test]
fn an_endless_json_line_is_cut_off_at_the_limit() {
    let mut parser = JsonLines::new(10);
    parser.feed(Bytes::from_static(b"{\"a\":1}\n01234567890"));
    assert_eq!(parser.next_line(), Some(Ok(Bytes::from_static(b"{\"a\":1}"))));
    assert_eq!(parser.next_line(), Some(Err(TooLong(10))));
}
