//! Forms with parts (`multipart/form-data`, RFC 7578), read as they arrive.
//!
//! Nothing is held but a window of the body: the head of a part is limited, and its content is handed
//! on piece by piece.

mod disposition;

use crate::{body::RequestBody, input, pipeline::Unread};
use bytes::{Bytes, BytesMut};
use chaski_api::{Error, Result};
use disposition::{Disposition, parameter};
use http_body::Body;
use http_body_util::BodyExt;
use memchr::memmem;
use std::time::Duration;
use tokio::time::timeout;

/// The longest boundary (RFC 2046, section 5.1.1).
const BOUNDARY: usize = 70;
/// The largest head of a part, and the most that may stand before the first and behind the last.
const HEAD: usize = 16 * 1024;
/// The most parts of a form.
const PARTS: usize = 64;

/// What limits a form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FormLimits {
    /// The most bytes of the whole body.
    pub(crate) bytes: u64,
    /// How long the body may pause while it arrives.
    pub(crate) pause: Duration,
}

/// A form that arrives.
pub(crate) struct Form<B = RequestBody> {
    body: B,
    limits: FormLimits,
    /// What has come and was not handed on.
    window: BytesMut,
    /// What stands between parts: a line end, `--` and the boundary.
    delimiter: memmem::Finder<'static>,
    state: State,
    parts: usize,
    read: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first delimiter.
    Preamble,
    /// Right behind a delimiter.
    Behind,
    /// In the content of a part.
    Content,
    End,
}

/// The head of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) filename: Option<String>,
}

impl<B> Form<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// A form with the `content-type` of its request.
    ///
    /// # Errors
    /// `InvalidRequest` if it is no form, `TooLarge` if it says that it is too large.
    pub(crate) fn new(content_type: &str, body: B, limits: FormLimits) -> Result<Self> {
        let boundary = boundary(content_type)?;
        if body.size_hint().lower() > limits.bytes {
            return Err(too_large(limits));
        }
        let delimiter = memmem::Finder::new(&format!("\r\n--{boundary}")).into_owned();
        // The first delimiter needs no line before it.
        let window = BytesMut::from("\r\n");
        Ok(Self { body, limits, window, delimiter, state: State::Preamble, parts: 0, read: 0 })
    }

    /// The head of the next part; what was not read of the one before is passed over.
    pub(crate) async fn next(&mut self) -> Result<Option<Part>, Unread> {
        match self.state {
            State::Preamble => {
                let mut passed = 0;
                while let Some(piece) = self.chunk().await? {
                    passed += piece.len();
                    if passed > HEAD {
                        return Err(malformed("its first boundary is missing").into());
                    }
                }
            }
            State::Content => while self.chunk().await?.is_some() {},
            State::Behind | State::End => {}
        }
        if self.state == State::End || self.is_last().await? {
            self.state = State::End;
            self.pass_epilogue().await?;
            return Ok(None);
        }
        self.parts += 1;
        if self.parts > PARTS {
            return Err(malformed(&format!("it has more than {PARTS} parts")).into());
        }
        let part = self.head().await?;
        self.state = State::Content;
        Ok(Some(part))
    }

    /// The next piece of the content of the part; nothing at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Unread> {
        if matches!(self.state, State::Behind | State::End) {
            return Ok(None);
        }
        let length = self.delimiter.needle().len();
        loop {
            match self.delimiter.find(&self.window) {
                Some(0) => {
                    drop(self.window.split_to(length));
                    self.state = State::Behind;
                    return Ok(None);
                }
                Some(at) => return Ok(Some(self.window.split_to(at).freeze())),
                // The end of the window may be the beginning of a delimiter.
                None if self.window.len() >= length => {
                    let certain = self.window.len() - (length - 1);
                    return Ok(Some(self.window.split_to(certain).freeze()));
                }
                None => self.fill().await?,
            }
        }
    }

    /// The whole content of the part called `name`, as text.
    pub(crate) async fn text(&mut self, name: &str, most: usize) -> Result<String, Unread> {
        let mut text = Vec::new();
        while let Some(piece) = self.chunk().await? {
            if text.len() + piece.len() > most {
                let message = format!("the part `{name}` has more than {most} bytes");
                return Err(Error::invalid(message).with_param(name).into());
            }
            text.extend_from_slice(&piece);
        }
        String::from_utf8(text).map_err(|_| {
            let message = format!("the part `{name}` is not text in UTF-8");
            Error::invalid(message).with_param(name).into()
        })
    }

    /// Whether the delimiter that was just passed is the last one.
    async fn is_last(&mut self) -> Result<bool, Unread> {
        let mut passed = 0;
        loop {
            // Some senders pad the line.
            while matches!(self.window.first(), Some(b' ' | b'\t')) && passed < HEAD {
                drop(self.window.split_to(1));
                passed += 1;
            }
            match self.window.get(..2) {
                Some(b"--") => return Ok(true),
                Some(b"\r\n") => {
                    drop(self.window.split_to(2));
                    return Ok(false);
                }
                Some(_) => {
                    return Err(malformed("a boundary is followed by other characters").into());
                }
                None => self.fill().await?,
            }
        }
    }

    async fn head(&mut self) -> Result<Part, Unread> {
        let end = loop {
            // A part without any header ends its head at once.
            if self.window.starts_with(b"\r\n") {
                return Err(malformed("a part has no `content-disposition`").into());
            }
            if let Some(at) = memmem::find(&self.window, b"\r\n\r\n") {
                break at;
            }
            if self.window.len() > HEAD {
                let message = format!("the head of a part has more than {HEAD} bytes");
                return Err(malformed(&message).into());
            }
            self.fill().await?;
        };
        let head = self.window.split_to(end);
        drop(self.window.split_to(2));
        let text = std::str::from_utf8(&head)
            .map_err(|_| malformed("the head of a part is not text in UTF-8"))?;
        let disposition = text.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.trim())
        });
        let disposition =
            disposition.ok_or_else(|| malformed("a part has no `content-disposition`"))?;
        let Disposition { name, filename } = Disposition::read(disposition)
            .ok_or_else(|| malformed("a part has no name in its `content-disposition`"))?;
        // The empty line may belong to the delimiter already: a part needs no content.
        while self.window.len() < self.delimiter.needle().len() {
            self.fill().await?;
        }
        if !self.window.starts_with(self.delimiter.needle()) {
            drop(self.window.split_to(2));
        }
        Ok(Part { name, filename })
    }

    /// Reads what stands behind the last delimiter, so that the connection can go on. What is too
    /// much is left.
    async fn pass_epilogue(&mut self) -> Result<(), Unread> {
        let mut passed = self.window.len();
        self.window.clear();
        while passed <= HEAD {
            let Some(data) = self.frame().await? else { return Ok(()) };
            passed += data.len();
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), Unread> {
        match self.frame().await? {
            Some(data) => {
                self.window.extend_from_slice(&data);
                Ok(())
            }
            None => Err(malformed("it ends before its last boundary").into()),
        }
    }

    async fn frame(&mut self) -> Result<Option<Bytes>, Unread> {
        loop {
            let frame = timeout(self.limits.pause, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| Unread::Late)? else { return Ok(None) };
            let frame = frame
                .map_err(|error| Error::invalid("the body could not be read").caused_by(error))?;
            // Trailers say nothing here.
            let Ok(data) = frame.into_data() else { continue };
            self.read += data.len() as u64;
            if self.read > self.limits.bytes {
                return Err(too_large(self.limits).into());
            }
            return Ok(Some(data));
        }
    }
}

fn too_large(limits: FormLimits) -> Error {
    input::too_large(usize::try_from(limits.bytes).unwrap_or(usize::MAX))
}

fn malformed(why: &str) -> Error {
    Error::invalid(format!("the body is not a form as `multipart/form-data` has it: {why}"))
}

/// The boundary that a `content-type` names.
fn boundary(content_type: &str) -> Result<String> {
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !media_type.trim().eq_ignore_ascii_case("multipart/form-data") {
        let shown: String = media_type.trim().chars().take(100).collect();
        return Err(Error::invalid(format!(
            "the body must be a form (`content-type: multipart/form-data; boundary=...`), not `{shown}`"
        )));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    parameter(parameters, "boundary")
        .filter(|boundary| (1..=BOUNDARY).contains(&boundary.len()) && boundary.bytes().all(allowed))
        .ok_or_else(|| {
            Error::invalid(format!(
                "the `content-type` of a form needs a `boundary` of 1 to {BOUNDARY} plain characters"
            ))
        })
}

#[cfg(test)]
mod tests;
