//! Thoughts: what a model writes between `<think>` and `</think>` before its answer.

use crate::text::overlap;

pub(crate) const OPEN: &str = "<think>";
pub(crate) const CLOSE: &str = "</think>";

/// Whether an answer may begin with thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Thinking {
    /// It does not: a tag in it is text.
    #[default]
    Never,
    /// It does if it begins with the tag.
    Tagged,
    /// It does: the prompt ends with the tag.
    Begun,
}

/// What is known of an answer: thoughts first, and then what it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) thoughts: String,
    pub(crate) answer: String,
}

/// Tells thoughts from the answer behind them while the text comes. The tags, and white space beside
/// them, belong to neither.
#[derive(Debug)]
pub(crate) struct Splitter {
    state: State,
    /// What may be a part of a tag, or white space beside one.
    held: String,
    /// How many bytes have come.
    taken: usize,
}

#[derive(Debug)]
enum State {
    /// Nothing has come that tells what the text is; `thinks` says what it is without a tag.
    Begin { thinks: bool },
    /// Thoughts; whether any were given out.
    Thoughts { begun: bool },
    /// Behind the thoughts, and before the answer.
    Between,
    /// The answer, which begins after so many bytes.
    Answer { from: usize },
}

impl Splitter {
    pub(crate) fn new(thinking: Thinking) -> Self {
        let state = match thinking {
            Thinking::Never => State::Answer { from: 0 },
            Thinking::Tagged => State::Begin { thinks: false },
            Thinking::Begun => State::Begin { thinks: true },
        };
        Self { state, held: String::new(), taken: 0 }
    }

    /// How many bytes of the text are told apart; nothing while it is not known what it is.
    pub(crate) fn told(&self) -> Option<usize> {
        let unknown = matches!(self.state, State::Begin { .. });
        (!unknown).then(|| self.taken - self.held.len())
    }

    /// Whether what ends after so many bytes is a part of the answer.
    pub(crate) fn answers(&self, end: usize) -> bool {
        matches!(self.state, State::Answer { from } if from == 0 || end > from)
    }

    /// Takes a piece of the text and gives what is certain now.
    pub(crate) fn push(&mut self, text: &str) -> Split {
        self.held.push_str(text);
        self.taken += text.len();
        let mut split = Split::default();
        if let State::Begin { thinks } = self.state {
            let begin = self.held.trim_start();
            if let Some(rest) = begin.strip_prefix(OPEN) {
                self.held = rest.to_owned();
                self.state = State::Thoughts { begun: false };
            } else if OPEN.starts_with(begin) {
                return split;
            } else if thinks {
                self.state = State::Thoughts { begun: false };
            } else {
                self.state = State::Answer { from: 0 };
            }
        }
        if let State::Thoughts { begun } = &mut self.state {
            if !*begun {
                trim_start(&mut self.held);
            }
            if let Some(at) = self.held.find(CLOSE) {
                self.held[..at].trim_end().clone_into(&mut split.thoughts);
                self.held.drain(..at + CLOSE.len());
                self.state = State::Between;
            } else {
                let certain = self.held.len() - overlap(&self.held, CLOSE);
                let certain = self.held[..certain].trim_end().len();
                split.thoughts = self.held.drain(..certain).collect();
                *begun |= certain > 0;
            }
        }
        if let State::Between = self.state {
            trim_start(&mut self.held);
            if !self.held.is_empty() {
                self.state = State::Answer { from: self.taken - self.held.len() };
            }
        }
        if let State::Answer { .. } = self.state {
            split.answer = std::mem::take(&mut self.held);
        }
        split
    }

    /// Takes the last piece of the text and gives the rest.
    pub(crate) fn finish(&mut self, text: &str) -> Split {
        let mut split = self.push(text);
        let rest = std::mem::take(&mut self.held);
        match self.state {
            State::Thoughts { .. } => split.thoughts.push_str(rest.trim_end()),
            // The beginning of a tag and no more.
            State::Begin { thinks: true } => {
                self.state = State::Thoughts { begun: true };
                split.thoughts.push_str(rest.trim());
            }
            State::Begin { thinks: false } => {
                self.state = State::Answer { from: 0 };
                split.answer.push_str(&rest);
            }
            // Nothing is held.
            State::Between | State::Answer { .. } => {}
        }
        split
    }
}

fn trim_start(text: &mut String) {
    let blank = text.len() - text.trim_start().len();
    text.drain(..blank);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The thoughts and the answer of a text that comes in these pieces.
    fn split(thinking: Thinking, pieces: &[&str]) -> (String, String) {
        let mut splitter = Splitter::new(thinking);
        let (mut thoughts, mut answer) = (String::new(), String::new());
        let mut add = |split: Split| {
            assert!(answer.is_empty() || split.thoughts.is_empty(), "thoughts after an answer");
            thoughts += &split.thoughts;
            answer += &split.answer;
        };
        for piece in pieces {
            add(splitter.push(piece));
        }
        add(splitter.finish(""));
        (thoughts, answer)
    }

    #[test]
    fn thoughts_are_told_from_the_answer_wherever_the_text_is_cut() {
        use Thinking::{Begun, Never, Tagged};
        for (thinking, text, thoughts, answer) in [
            (Tagged, "<think>\nhm, é\n\nso\n</think>\n\nHi <b>\n", "hm, é\n\nso", "Hi <b>\n"),
            (Tagged, " \n<think>a</think>b", "a", "b"),
            (Tagged, "<think>\n\n</think>\n\nHi", "", "Hi"),
            (Tagged, "<think>a < b </thin </think> c </think>", "a < b </thin", "c </think>"),
            (Tagged, "<think>never done </thi", "never done </thi", ""),
            (Tagged, "<think>done</think> \n", "done", ""),
            (Tagged, " Hi <think>no</think>", "", " Hi <think>no</think>"),
            (Tagged, "<thinker>", "", "<thinker>"),
            (Tagged, "\n<thin", "", "\n<thin"),
            (Tagged, "", "", ""),
            (Begun, "\nhm\n</think>\n\nHi", "hm", "Hi"),
            (Begun, "<think>\nagain</think>Hi", "again", "Hi"),
            (Begun, "<b> </think>", "<b>", ""),
            (Begun, "</think>Hi", "", "Hi"),
            (Begun, " <thi", "<thi", ""),
            (Never, "<think>a</think>b", "", "<think>a</think>b"),
        ] {
            let expected = (thoughts.to_owned(), answer.to_owned());
            let cuts: Vec<usize> =
                (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
            for first in &cuts {
                for second in cuts.iter().filter(|second| *second >= first) {
                    let pieces = [&text[..*first], &text[*first..*second], &text[*second..]];
                    assert_eq!(split(thinking, &pieces), expected, "{pieces:?}");
                }
            }
            let letters: Vec<String> = text.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            assert_eq!(split(thinking, &letters), expected, "{text}");
        }
    }

    #[test]
    fn what_is_certain_is_not_held_back() {
        let mut splitter = Splitter::new(Thinking::Tagged);
        assert_eq!((splitter.push("<think>").thoughts, splitter.told()), (String::new(), Some(7)));
        assert_eq!(splitter.push("\nhm").thoughts, "hm");
        assert_eq!(splitter.push(" so </").thoughts, " so");
        assert_eq!(splitter.push("b>").thoughts, " </b>");
        assert_eq!(splitter.push("</think>\n"), Split::default());
        assert_eq!(splitter.push("Hi ").answer, "Hi ");
    }

    #[test]
    fn places_in_the_text_say_what_belongs_to_the_answer() {
        let mut splitter = Splitter::new(Thinking::Tagged);
        splitter.push("<thi");
        assert_eq!((splitter.told(), splitter.answers(4)), (None, false));
        splitter.push("nk>a</think>\nHi");
        assert_eq!(splitter.told(), Some(19));
        assert!(!splitter.answers(8) && !splitter.answers(17) && splitter.answers(19));
        let mut splitter = Splitter::new(Thinking::Never);
        splitter.push("Hi");
        assert_eq!(
            (splitter.told(), splitter.answers(0), splitter.answers(2)),
            (Some(2), true, true)
        );
    }
}
