//! From the bytes of tokens to text: whole characters, and an end at the stop texts.

/// Collects bytes and gives out text that is certain to be part of the answer.
#[derive(Debug)]
pub(crate) struct Assembler {
    stops: Vec<String>,
    /// The beginning of a character whose end has not come.
    bytes: Vec<u8>,
    /// Text that may be the beginning of a stop text.
    held: String,
    /// How many bytes of text have been given out.
    given: usize,
    /// The stop text that came.
    stopped_by: Option<String>,
}

impl Assembler {
    pub(crate) fn new(stops: Vec<String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self { stops, bytes: Vec::new(), held: String::new(), given: 0, stopped_by: None }
    }

    /// How many bytes have come so far, given out or not.
    pub(crate) fn length(&self) -> usize {
        self.given + self.held.len() + self.bytes.len()
    }

    /// Whether a stop text has come. Nothing is given out after it.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped_by.is_some()
    }

    /// The stop text that came. Of several that begin at the same place it is the first one given.
    pub(crate) fn stopped_by(&self) -> Option<&str> {
        self.stopped_by.as_deref()
    }

    /// Takes the bytes of a token and gives what is certain now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.bytes.extend_from_slice(bytes);
        let whole = whole_characters(&self.bytes);
        let rest = self.bytes.split_off(whole);
        self.held.push_str(&String::from_utf8_lossy(&self.bytes));
        self.bytes = rest;
        let found = self.stops.iter().filter_map(|stop| Some((self.held.find(stop)?, stop)));
        if let Some((at, stop)) = found.min_by_key(|(at, _)| *at) {
            self.stopped_by = Some(stop.clone());
            self.held.truncate(at);
            self.bytes.clear();
            return self.give(at);
        }
        let kept = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        self.give(self.held.len() - kept)
    }

    /// Gives the rest, at the end of the answer.
    pub(crate) fn finish(&mut self) -> String {
        if self.stopped() {
            return String::new();
        }
        let rest = std::mem::take(&mut self.bytes);
        self.held.push_str(&String::from_utf8_lossy(&rest));
        self.give(self.held.len())
    }

    fn give(&mut self, length: usize) -> String {
        let rest = self.held.split_off(length);
        self.given += length;
        std::mem::replace(&mut self.held, rest)
    }
}

/// How many bytes at the beginning are not an unfinished character at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let mut checked = 0;
    loop {
        match std::str::from_utf8(&bytes[checked..]) {
            Ok(_) => return bytes.len(),
            Err(error) => match error.error_len() {
                None => return checked + error.valid_up_to(),
                Some(invalid) => checked += error.valid_up_to() + invalid,
            },
        }
    }
}

/// The length of the longest end of `text` that `stop` begins with.
pub(crate) fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len() - 1);
    (1..=longest)
        .rev()
        .find(|length| {
            stop.is_char_boundary(*length) && text.as_bytes().ends_with(&stop.as_bytes()[..*length])
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(stops: &[&str], pieces: &[&[u8]]) -> (Vec<String>, bool) {
        let mut assembler = Assembler::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut out: Vec<String> = Vec::new();
        for piece in pieces {
            out.push(assembler.push(piece));
            if assembler.stopped() {
                break;
            }
        }
        out.push(assembler.finish());
        out.retain(|text| !text.is_empty());
        (out, assembler.stopped())
    }

    #[test]
    fn a_stop_text_ends_the_answer_also_when_it_comes_in_pieces() {
        assert_eq!(given(&["END"], &[b"a E", b"N", b"D b"]), (vec!["a ".into()], true));
        assert_eq!(given(&["END"], &[b"a E", b"N", b"d b"]).0.concat(), "a ENd b");
        assert_eq!(given(&["x", "ab"], &[b"1a", b"bx"]), (vec!["1".into()], true));
        assert_eq!(given(&["aab"], &[b"a", b"a", b"a", b"b"]).0.concat(), "a");
        assert_eq!(given(&[""], &[b"abc"]), (vec!["abc".into()], false));
    }

    #[test]
    fn the_stop_text_that_came_first_is_told() {
        let stopped_by = |stops: [&str; 2], text: &str| {
            let mut assembler = Assembler::new(stops.map(str::to_owned).to_vec());
            assembler.push(text.as_bytes());
            assembler.stopped_by().map(str::to_owned)
        };
        assert_eq!(stopped_by(["two", "one"], "one two").as_deref(), Some("one"));
        assert_eq!(stopped_by(["ab", "a"], "xab").as_deref(), Some("ab"));
        assert_eq!(stopped_by(["ab", "b"], "a"), None);
    }

    #[test]
    fn an_unfinished_stop_text_is_part_of_the_answer() {
        assert_eq!(given(&["END"], &[b"the EN"]), (vec!["the ".into(), "EN".into()], false));
    }

    #[test]
    fn characters_are_given_out_whole() {
        let bytes = "aé🦀".as_bytes();
        let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(given(&[], &pieces).0, ["a", "é", "🦀"]);
        assert_eq!(given(&["🦀"], &pieces), (vec!["a".into(), "é".into()], true));
        assert_eq!(given(&[], &[b"a\xffb", b"\xf0\x9f"]).0.concat(), "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn the_length_counts_what_has_come_given_out_or_not() {
        let mut assembler = Assembler::new(vec!["--".into()]);
        assert_eq!(assembler.push("é-\u{e9}".as_bytes().split_last().unwrap().1), "é");
        assert_eq!(assembler.length(), 4);
    }
}
