//! Fonts: from the codes of a string to text and widths.

#![expect(clippy::wildcard_enum_match_arm, reason = "objects of other kinds do not belong there")]

use super::{
    glyphs::{Base, named},
    streams::Decoder,
};
use crate::Result;
use encoding_rs::{BIG5, EUC_JP, EUC_KR, Encoding, GBK, SHIFT_JIS, UTF_16BE};
use hayro_cmap::{BfString, CMap};
use hayro_syntax::object::{Array, Dict, Name, Object, Stream};
use std::collections::HashMap;

/// The width of a letter that a font does not state, in thousandths of the size.
const WIDTH: f64 = 500.0;

/// A letter of a string.
pub(super) struct Letter {
    /// Empty when the font does not say what it shows.
    pub(super) text: String,
    /// In thousandths of the size.
    pub(super) width: f64,
    /// Whether it is the code of a blank, which may be widened.
    pub(super) blank: bool,
}

/// How long codes are, and what they mean without a table of the font.
enum Codes {
    /// A byte each.
    Simple(Vec<Option<String>>),
    /// Two bytes each, which say nothing by themselves.
    Numbers,
    /// In an encoding for characters of East Asia, or in Unicode.
    Encoded(&'static Encoding),
}

pub(super) struct Font {
    codes: Codes,
    /// The table of the font from codes to text.
    to_unicode: Option<CMap>,
    widths: HashMap<u32, f64>,
    default_width: f64,
}

impl Font {
    pub(super) fn new(font: &Dict<'_>, decoder: &mut Decoder<'_>) -> Result<Self> {
        let to_unicode = match font.get::<Stream<'_>>(b"ToUnicode") {
            Some(stream) => CMap::parse(&decoder.decode(&stream)?, |_| None),
            None => None,
        };
        let subtype: Option<Name<'_>> = font.get(b"Subtype");
        let composite = subtype.is_some_and(|subtype| subtype.as_ref() == b"Type0");
        let descendant = font
            .get::<Array<'_>>(b"DescendantFonts")
            .and_then(|fonts| fonts.iter::<Dict<'_>>().next());
        Ok(match descendant {
            Some(descendant) if composite => Self {
                codes: composite_codes(font),
                to_unicode,
                widths: composite_widths(&descendant),
                default_width: descendant.get(b"DW").unwrap_or(1000.0),
            },
            _ => Self {
                codes: Codes::Simple(simple_codes(font)),
                to_unicode,
                widths: simple_widths(font),
                default_width: simple_default(font),
            },
        })
    }

    /// The letters of a string.
    pub(super) fn letters(&self, bytes: &[u8]) -> Vec<Letter> {
        match &self.codes {
            Codes::Simple(table) => bytes
                .iter()
                .map(|byte| {
                    let code = u32::from(*byte);
                    let text = self.mapped(code).or_else(|| table.get(usize::from(*byte))?.clone());
                    self.letter(code, text, *byte == b' ')
                })
                .collect(),
            Codes::Numbers => bytes
                .chunks(2)
                .map(|pair| {
                    let code = pair.iter().fold(0, |code, byte| code << 8 | u32::from(*byte));
                    self.letter(code, self.mapped(code), false)
                })
                .collect(),
            Codes::Encoded(encoding) => {
                let (text, _) = encoding.decode_without_bom_handling(bytes);
                text.chars().map(|c| self.letter(u32::MAX, Some(c.to_string()), c == ' ')).collect()
            }
        }
    }

    fn letter(&self, code: u32, text: Option<String>, blank: bool) -> Letter {
        let width = self.widths.get(&code).copied().unwrap_or(self.default_width);
        let text = text.unwrap_or_default();
        Letter { text: text.chars().map(usual).collect::<Vec<_>>().concat(), width, blank }
    }

    fn mapped(&self, code: u32) -> Option<String> {
        match self.to_unicode.as_ref()?.lookup_bf_string(code)? {
            BfString::Char('\0' | '\u{fffd}') => None,
            BfString::Char(c) => Some(c.to_string()),
            BfString::String(text) => Some(text),
        }
    }
}

/// A character as it is written: joined letters apart, and no controls.
fn usual(c: char) -> String {
    match c {
        '\u{fb00}' => "ff".to_owned(),
        '\u{fb01}' => "fi".to_owned(),
        '\u{fb02}' => "fl".to_owned(),
        '\u{fb03}' => "ffi".to_owned(),
        '\u{fb04}' => "ffl".to_owned(),
        '\u{a0}' | '\t' | '\n' | '\r' => " ".to_owned(),
        '\u{ad}' => "-".to_owned(),
        c if c.is_control() => String::new(),
        c => c.to_string(),
    }
}

/// What the 256 codes of a font mean by its encoding.
fn simple_codes(font: &Dict<'_>) -> Vec<Option<String>> {
    let encoding: Option<Object<'_>> = font.get(b"Encoding");
    let (base, differences) = match encoding {
        Some(Object::Name(name)) => (Base::named(&name), None),
        Some(Object::Dict(dict)) => {
            let base: Option<Name<'_>> = dict.get(b"BaseEncoding");
            (base.and_then(|name| Base::named(&name)), dict.get::<Array<'_>>(b"Differences"))
        }
        _ => (None, None),
    };
    // TrueType fonts without an encoding mostly have that of Windows.
    let is_true_type =
        font.get::<Name<'_>>(b"Subtype").is_some_and(|subtype| subtype.as_ref() == b"TrueType");
    let base = base.unwrap_or(if is_true_type { Base::Windows } else { Base::Standard });
    let mut codes: Vec<Option<String>> =
        (0..=255).map(|code| base.character(code).map(String::from)).collect();
    let mut next = 0;
    for object in differences.iter().flat_map(Array::iter::<Object<'_>>) {
        match object {
            Object::Number(number) => next = usize::try_from(number.as_i64()).unwrap_or(usize::MAX),
            Object::Name(name) => {
                if let Some(code) = codes.get_mut(next) {
                    *code = named(name.as_str());
                }
                next = next.saturating_add(1);
            }
            _ => {}
        }
    }
    codes
}

fn simple_widths(font: &Dict<'_>) -> HashMap<u32, f64> {
    let first: i32 = font.get(b"FirstChar").unwrap_or(0);
    let widths = font.get::<Array<'_>>(b"Widths");
    let widths = widths.iter().flat_map(Array::iter::<f64>).take(256);
    let codes = u32::try_from(first).unwrap_or(0)..;
    codes.zip(widths).collect()
}

fn simple_default(font: &Dict<'_>) -> f64 {
    let descriptor: Option<Dict<'_>> = font.get(b"FontDescriptor");
    let missing: Option<f64> = descriptor.and_then(|descriptor| descriptor.get(b"MissingWidth"));
    let name: Option<Name<'_>> = font.get(b"BaseFont");
    let is_courier = name.is_some_and(|name| name.as_str().contains("Courier"));
    missing.filter(|width| *width > 0.0).unwrap_or(if is_courier { 600.0 } else { WIDTH })
}

fn composite_codes(font: &Dict<'_>) -> Codes {
    let name: Option<Name<'_>> = font.get(b"Encoding");
    let name = name.as_ref().map_or("", |name| name.as_str());
    let has = |part: &str| name.contains(part);
    if has("UCS2") || has("UTF16") {
        Codes::Encoded(UTF_16BE)
    } else if has("RKSJ") {
        Codes::Encoded(SHIFT_JIS)
    } else if has("GBK") || has("GB-EUC") || has("GBpc") {
        Codes::Encoded(GBK)
    } else if has("B5") || has("ETen") {
        Codes::Encoded(BIG5)
    } else if has("KSC") {
        Codes::Encoded(EUC_KR)
    } else if name == "EUC-H" || name == "EUC-V" {
        Codes::Encoded(EUC_JP)
    } else {
        Codes::Numbers
    }
}

/// Widths by number: `first [w w w]` and `first last w`.
fn composite_widths(font: &Dict<'_>) -> HashMap<u32, f64> {
    let mut widths = HashMap::new();
    let Some(array) = font.get::<Array<'_>>(b"W") else { return widths };
    let mut numbers: Vec<f64> = Vec::new();
    for object in array.iter::<Object<'_>>() {
        match object {
            Object::Number(number) => numbers.push(number.as_f64()),
            Object::Array(list) => {
                let first = numbers.pop().map_or(0, code);
                widths.extend((first..=0xffff).zip(list.iter::<f64>()));
                numbers.clear();
            }
            _ => {}
        }
        if let [first, last, width] = *numbers.as_slice() {
            widths.extend((code(first)..=code(last)).map(|code| (code, width)));
            numbers.clear();
        }
    }
    widths
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
fn code(number: f64) -> u32 {
    number.clamp(0.0, 65_535.0) as u32
}
