//! Whether JSON text that comes in pieces is a complete object.

/// Follows the brackets of JSON text.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    depth: usize,
    begun: bool,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    pub(super) fn feed(&mut self, text: &str) {
        for byte in text.bytes() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => {
                        self.depth += 1;
                        self.begun = true;
                    }
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }

    /// Whether the text so far is an object that has been closed.
    pub(super) fn is_complete(&self) -> bool {
        self.begun && self.depth == 0 && !self.in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_complete_with_its_last_bracket_wherever_it_is_cut() {
        let text = r#"{"a": "}\"}\\", "b": [{"c": {}}], "d": "["}"#;
        for size in 1..=text.len() {
            let mut nesting = Nesting::default();
            let mut fed = 0;
            for piece in text.as_bytes().chunks(size) {
                assert!(!nesting.is_complete(), "after {fed} bytes in pieces of {size}");
                nesting.feed(std::str::from_utf8(piece).unwrap());
                fed += piece.len();
            }
            assert!(nesting.is_complete(), "in pieces of {size}");
        }
        assert!(!Nesting::default().is_complete());
    }
}
