//! What a line of the user means.

/// A line that the user entered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    Nothing,
    Say(&'a str),
    Help,
    Clear,
    /// `/model`, with the name to change to.
    Model(Option<&'a str>),
    Exit,
    Unknown(&'a str),
}

pub(super) const HELP: &str = "\
/model         show the models and the one in use
/model NAME    talk with another model
/clear         forget the conversation
/exit          leave (or Ctrl-D)
Ctrl-C stops an answer.
";

impl<'a> Word<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        let line = line.trim();
        if line.is_empty() {
            return Self::Nothing;
        }
        let Some(command) = line.strip_prefix('/') else { return Self::Say(line) };
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = Some(rest.trim()).filter(|rest| !rest.is_empty());
        match name {
            "help" | "?" => Self::Help,
            "clear" => Self::Clear,
            "model" | "models" => Self::Model(rest),
            "exit" | "quit" | "bye" => Self::Exit,
            // A path is something to talk about, not a command.
            _ if name.contains('/') => Self::Say(line),
            _ => Self::Unknown(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_words_to_the_model_unless_they_start_with_a_slash() {
        let check = |line, expected: Word<'_>| assert_eq!(Word::of(line), expected, "{line}");
        check("  \n", Word::Nothing);
        check("hello\n", Word::Say("hello"));
        check("/help", Word::Help);
        check("/model", Word::Model(None));
        check("/model  a/b \n", Word::Model(Some("a/b")));
        check("/exit", Word::Exit);
        check("/clear", Word::Clear);
        check("/nope", Word::Unknown("nope"));
        check("/etc/passwd holds what?", Word::Say("/etc/passwd holds what?"));
    }
}
