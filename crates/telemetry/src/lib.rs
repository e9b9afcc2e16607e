//! Logging of the process: categories and levels, the form of a line, where lines go.
//!
//! It knows nothing about requests or providers and reads no environment: the binary says what is
//! wanted, once, with [`init`].

mod escape;
mod layer;
mod levels;
mod line;
mod writer;

pub use levels::{CATEGORIES, Level, Levels};
pub use line::Format;
pub use writer::LogGuard;

use layer::LineLayer;
use std::{fs::OpenOptions, io, path::PathBuf};
use tracing_subscriber::{Registry, layer::SubscriberExt};

/// What is logged, in which form, and where to.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Lines for people or for programs.
    pub format: Format,
    /// Whether levels and categories are coloured; for terminals only.
    pub colours: bool,
    /// The least severe level of each category.
    pub levels: Levels,
    /// A file that gets every line too, without colours.
    pub file: Option<PathBuf>,
}

/// Starts logging to the standard error stream, for the whole process.
///
/// Lines are written by a thread of their own, so that a slow terminal or disk delays no request.
/// The guard writes what is left when it is dropped: keep it until the end.
///
/// # Errors
/// When the log file cannot be opened, or when logging was started before.
pub fn init(options: LogOptions) -> io::Result<LogGuard> {
    let file = match &options.file {
        Some(path) => {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            Some(opened.map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("cannot open the log file `{}`: {error}", path.display()),
                )
            })?)
        }
        None => None,
    };
    let notice = match options.format {
        Format::Human => |lost| line::dropped(lost).render(Format::Human, false),
        Format::Json => |lost| line::dropped(lost).render(Format::Json, false),
    };
    let (lines, guard) = writer::start(Box::new(io::stderr()), file, notice)?;
    let layer = LineLayer::new(options.levels, options.format, options.colours, lines);
    tracing::subscriber::set_global_default(Registry::default().with(layer))
        .map_err(|_| io::Error::other("logging was started before"))?;
    Ok(guard)
}

#[cfg(test)]
mod tests;
