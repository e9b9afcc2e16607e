//! Where Python's JSON reader stops, since its clients see that place in the answer.

/// The number of the character at which Python's reader stops, or nothing where it takes the text.
pub(super) fn of_error(text: &str) -> Option<usize> {
    let characters: Vec<char> = text.chars().collect();
    Scanner { text: &characters, at: 0 }.document().err()
}

struct Scanner<'a> {
    text: &'a [char],
    at: usize,
}

/// What is open: each `[` and `{` that was not closed yet.
enum Open {
    List,
    Object,
}

/// The place of the error.
type Scanned = Result<(), usize>;

impl Scanner<'_> {
    fn document(&mut self) -> Scanned {
        self.white();
        let mut open: Vec<Open> = Vec::new();
        'value: loop {
            match self.peek() {
                Some('{') => {
                    self.at += 1;
                    self.white();
                    if self.peek() == Some('}') {
                        self.at += 1;
                    } else {
                        self.key()?;
                        open.push(Open::Object);
                        continue 'value;
                    }
                }
                Some('[') => {
                    self.at += 1;
                    self.white();
                    if self.peek() == Some(']') {
                        self.at += 1;
                    } else if self.peek().is_none() {
                        return Err(self.at);
                    } else {
                        open.push(Open::List);
                        continue 'value;
                    }
                }
                Some('"') => self.string()?,
                _ => self.word_or_number()?,
            }
            // A value has ended: what follows depends on where it stands.
            loop {
                self.white();
                match (open.last(), self.peek()) {
                    (None, None) => return Ok(()),
                    (Some(Open::List), Some(']')) | (Some(Open::Object), Some('}')) => {
                        self.at += 1;
                        open.pop();
                    }
                    (Some(kind), Some(',')) => {
                        let object = matches!(kind, Open::Object);
                        self.at += 1;
                        self.white();
                        if object {
                            self.key()?;
                        }
                        continue 'value;
                    }
                    (_, _) => return Err(self.at),
                }
            }
        }
    }

    fn key(&mut self) -> Scanned {
        if self.peek() != Some('"') {
            return Err(self.at);
        }
        self.string()?;
        self.white();
        if self.peek() != Some(':') {
            return Err(self.at);
        }
        self.at += 1;
        self.white();
        Ok(())
    }

    fn string(&mut self) -> Scanned {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek().ok_or(start)? {
                '"' => {
                    self.at += 1;
                    return Ok(());
                }
                '\\' => {
                    let escape = self.at;
                    self.at += 1;
                    match self.peek().ok_or(start)? {
                        'u' => {
                            let digits = self.text.get(self.at + 1..self.at + 5);
                            let complete = digits
                                .is_some_and(|digits| digits.iter().all(char::is_ascii_hexdigit))
                                && self.text.len() > self.at + 5;
                            if !complete {
                                return Err(escape + 1);
                            }
                            self.at += 5;
                        }
                        '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => self.at += 1,
                        _ => return Err(escape),
                    }
                }
                character if character <= '\u{1f}' => return Err(self.at),
                _ => self.at += 1,
            }
        }
    }

    fn word_or_number(&mut self) -> Scanned {
        for word in ["null", "true", "false", "NaN", "Infinity", "-Infinity"] {
            let rest = &self.text[self.at..];
            if rest.len() >= word.len() && word.chars().eq(rest[..word.len()].iter().copied()) {
                self.at += word.len();
                return Ok(());
            }
        }
        let start = self.at;
        if self.peek() == Some('-') {
            self.at += 1;
        }
        match self.peek() {
            Some('0') => self.at += 1,
            Some('1'..='9') => self.digits(),
            _ => return Err(start),
        }
        if self.peek() == Some('.') && self.digit_at(self.at + 1) {
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.text.get(self.at + 1), Some('+' | '-')));
            if self.digit_at(self.at + 1 + sign) {
                self.at += 1 + sign;
                self.digits();
            }
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.digit_at(self.at) {
            self.at += 1;
        }
    }

    fn digit_at(&self, at: usize) -> bool {
        self.text.get(at).is_some_and(char::is_ascii_digit)
    }

    fn white(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }
}
