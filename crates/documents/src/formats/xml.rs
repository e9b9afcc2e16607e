//! XML as a stream of elements and text, without document types.

use super::File;
use crate::{Error, Limits, Result, builder::Deadline};
use encoding_rs::Encoding;
use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};
use std::borrow::Cow;

/// The text of an XML file, which is in UTF-8 or UTF-16.
pub(crate) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding.decode(bytes).0,
        None => String::from_utf8_lossy(bytes),
    }
}

/// Whether a file may name a document type. One that declares entities is refused in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DocumentType {
    Refused,
    Named,
}

/// The start of an element.
pub(crate) struct Element<'a>(BytesStart<'a>);

impl Element<'_> {
    /// The name without its prefix.
    pub(crate) fn name(&self) -> &str {
        local(self.0.name().0)
    }

    /// The value of an attribute, by its name without prefix.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        self.find(|key| local(key) == name)
    }

    /// The value of an attribute that has a prefix: of `id` and `r:id`, the second.
    pub(crate) fn prefixed(&self, name: &str) -> Option<String> {
        self.find(|key| key.contains(':') && local(key) == name)
    }

    fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let mut attributes = self.0.attributes();
        let attributes = attributes.with_checks(false).flatten();
        let attribute = attributes.into_iter().find(|attribute| wanted(attribute.key.0))?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
        Some(value.into_owned())
    }

    /// The attribute `val`, in which Office keeps the value of a property.
    pub(crate) fn value(&self) -> Option<String> {
        self.attribute("val")
    }

    /// Whether a property without further value is on.
    pub(crate) fn is_on(&self) -> bool {
        self.value().is_none_or(|value| !matches!(value.as_str(), "0" | "false" | "off" | "none"))
    }
}

/// The part of a name after its prefix.
fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// What comes next.
pub(crate) enum Node<'a> {
    Start(Element<'a>),
    /// With the name, without its prefix.
    End(String),
    Text(Cow<'a, str>),
}

/// A file that is being read.
pub(crate) struct Xml<'a> {
    reader: Reader<&'a [u8]>,
    format: &'static str,
    limits: &'a Limits,
    deadline: Deadline,
    types: DocumentType,
    depth: usize,
}

impl<'a> Xml<'a> {
    pub(crate) fn new(text: &'a str, format: &'static str, file: &File<'a>) -> Self {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let types = DocumentType::Refused;
        Self { reader, format, limits: file.limits, deadline: file.deadline, types, depth: 0 }
    }

    pub(crate) fn allowing(self, types: DocumentType) -> Self {
        Self { types, ..self }
    }

    /// The next element or text, `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Node<'a>>> {
        loop {
            self.deadline.step()?;
            let event =
                self.reader.read_event().map_err(|error| Error::damaged(self.format, error))?;
            match event {
                Event::Start(start) | Event::Empty(start) => {
                    self.depth += 1;
                    if self.depth > self.limits.nesting {
                        let limit = self.limits.nesting;
                        return Err(Error::limit("levels of nesting", limit, "nesting"));
                    }
                    return Ok(Some(Node::Start(Element(start))));
                }
                Event::End(end) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Some(Node::End(local(end.name().0).to_owned())));
                }
                Event::Text(text) => return Ok(Some(Node::Text(text.xml10_content()))),
                Event::CData(text) => return Ok(Some(Node::Text(text.xml10_content()))),
                Event::GeneralRef(entity) => {
                    let text = match entity.resolve_char_ref() {
                        Ok(Some(c)) => c.to_string(),
                        _ => {
                            named(&entity).map_or_else(|| format!("&{};", &*entity), str::to_owned)
                        }
                    };
                    return Ok(Some(Node::Text(Cow::Owned(text))));
                }
                Event::DocType(declaration) => {
                    if self.types == DocumentType::Refused || declaration.contains('[') {
                        let reason = "it declares a document type, which could name other files \
                                      and grow without bound";
                        return Err(Error::damaged(self.format, reason));
                    }
                }
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => return Ok(None),
            }
        }
    }

    /// The text up to the end of the element that has just begun.
    pub(crate) fn text(&mut self) -> Result<String> {
        let (mut text, outside) = (String::new(), self.depth.saturating_sub(1));
        while self.depth > outside {
            match self.next()? {
                Some(Node::Text(part)) => text.push_str(&part),
                Some(Node::Start(_) | Node::End(_)) => {}
                None => break,
            }
        }
        Ok(text)
    }

    /// Goes on behind the element that has just begun.
    pub(crate) fn skip(&mut self) -> Result<()> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside && self.next()?.is_some() {}
        Ok(())
    }
}

/// The five entities of XML.
fn named(name: &str) -> Option<&'static str> {
    Some(match name {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => return None,
    })
}
