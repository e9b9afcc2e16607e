//! Where the user's lines come from: an editor on a terminal, else standard input as it is.

use crate::failure::{Failure, Outcome};
use rustyline::{DefaultEditor, error::ReadlineError};
use std::{
    io::{self, BufRead, IsTerminal},
    path::PathBuf,
};

/// What the user did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered {
    Line(String),
    /// Ctrl-C on an empty prompt.
    Interrupted,
    End,
}

pub(super) enum Input {
    Terminal { editor: Box<DefaultEditor>, history: Option<PathBuf> },
    Piped,
}

impl Input {
    /// An editor with the lines of earlier sessions, or plain standard input.
    pub(super) fn open(history: Option<PathBuf>) -> Outcome<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Self::Piped);
        }
        let mut editor = DefaultEditor::new().map_err(Failure::failed)?;
        if let Some(path) = &history {
            // Nothing is lost when there is no history yet.
            let _ = editor.load_history(path);
        }
        Ok(Self::Terminal { editor: Box::new(editor), history })
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal { .. })
    }

    /// Waits for the next line. Blocks: not for network threads.
    pub(super) fn next(&mut self) -> Outcome<Entered> {
        match self {
            Self::Piped => {
                let mut line = String::new();
                let read = io::stdin().lock().read_line(&mut line)?;
                Ok(if read == 0 { Entered::End } else { Entered::Line(line) })
            }
            Self::Terminal { editor, history } => match editor.readline("> ") {
                Ok(line) => {
                    if !line.trim().is_empty() {
                        // A history that cannot be kept is no reason to stop talking.
                        let _ = editor.add_history_entry(line.as_str());
                        if let Some(path) = history {
                            let _ = editor.save_history(path);
                        }
                    }
                    Ok(Entered::Line(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Entered::Interrupted),
                Err(ReadlineError::Eof) => Ok(Entered::End),
                Err(error) => Err(Failure::failed(error)),
            },
        }
    }
}
