//! From the bytes of a file to a document, whatever happens on the way.

use crate::{
    Cells, Document, Error, ErrorKind, Format, Hints, Limits, Result, builder::Deadline,
    format::detect, formats,
};
use std::thread;

/// Stack of the thread that parses. Parsers of libraries call themselves for nested structures.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Reads a file. Blocks until it is read.
///
/// A panic of a parser ends here as an error of kind [`ErrorKind::Crashed`]. Memory is held within
/// the limits as far as the parsers count it; for files from strangers use a process of its own.
///
/// # Errors
/// When the file is of a kind that is not read, has no text, is encrypted or damaged, or passes a
/// limit.
pub fn parse(bytes: &[u8], hints: &Hints, limits: &Limits) -> Result<Document> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limits.input_bytes) {
        return Err(Error::limit("bytes", limits.input_bytes, "input_bytes"));
    }
    let deadline = Deadline::new(limits);
    guarded(|| {
        if let Some(cells) = hints.cells {
            return by_cells(bytes, cells, hints, limits, deadline);
        }
        let format = detect(bytes, hints, limits)?;
        by_format(bytes, format, hints, limits, deadline)
    })
}

fn by_cells(
    bytes: &[u8],
    cells: Cells,
    hints: &Hints,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Document> {
    let file = formats::File { bytes, charset: hints.charset(), limits, deadline };
    match cells {
        Cells::Csv => formats::csv::cells(&file),
        Cells::Xlsx => formats::ooxml::cells(&file),
    }
}

fn by_format(
    bytes: &[u8],
    format: Format,
    hints: &Hints,
    limits: &Limits,
    deadline: Deadline,
) -> Result<Document> {
    let file = formats::File { bytes, charset: hints.charset(), limits, deadline };
    match format {
        Format::Html => formats::html::parse(&file),
        Format::Markdown => formats::markdown::parse(&file),
        Format::Csv => formats::csv::parse(&file),
        Format::Json => formats::json::parse(&file),
        Format::Code(language) => formats::plain::code(&file, language),
        Format::Text => formats::plain::parse(&file),
        Format::Docx => formats::ooxml::docx(&file),
        Format::Pptx => formats::ooxml::pptx(&file),
        Format::Xlsx => formats::ooxml::xlsx(&file),
        Format::Epub => formats::epub::parse(&file),
        Format::Pdf => formats::pdf::parse(&file),
    }
}

/// What `work` answers, on a thread of its own, so that a panic stays there.
fn guarded<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("documents".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work);
        match thread {
            Ok(thread) => thread.join().unwrap_or_else(|_| {
                let message = "the parser failed on this file; save it again in another program, \
                               or convert it to text";
                Err(Error::new(ErrorKind::Crashed, message))
            }),
            Err(error) => {
                let message = format!("cannot start a thread for parsing: {error}");
                Err(Error::new(ErrorKind::Worker, message))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_the_file() {
        let error = guarded(|| -> Result<()> { panic!("as a parser might") }).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Crashed);
    }

    #[test]
    fn large_files_are_refused_unread() {
        let limits = Limits { input_bytes: 3, ..Limits::default() };
        let error = parse(b"text", &Hints::default(), &limits).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge);
        assert!(error.message.contains("`input_bytes`"), "{error}");
    }
}
