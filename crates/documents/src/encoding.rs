//! Bytes to text: byte order marks, declared charsets, and guesses.

use crate::{Error, ErrorKind, Limits, Result};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Bytes that are looked at to guess an encoding.
const SAMPLE: usize = 256 * 1024;

/// The text of a file. A byte order mark says what it is; then the charset that came with the
/// file is tried, then UTF-8, UTF-16 without a mark, and at last what fits the letters best.
pub(crate) fn decode(bytes: &[u8], charset: Option<&str>, limits: &Limits) -> Result<String> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return decode_as(encoding, bytes.get(mark..).unwrap_or_default(), limits);
    }
    let declared = charset.and_then(|label| Encoding::for_label(label.trim().as_bytes()));
    if let Some(encoding) = declared.filter(|encoding| *encoding != UTF_8) {
        let is_wide = |encoding| encoding == UTF_16LE || encoding == UTF_16BE;
        if !is_wide(encoding) || wide(bytes) == Some(encoding) {
            return decode_as(encoding, bytes, limits);
        }
    }
    if let Some(encoding) = wide(bytes) {
        return decode_as(encoding, bytes, limits);
    }
    if looks_binary(bytes) {
        let message = "the file is not text: it holds bytes that no text encoding has; \
                       give its type, or a document with text";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let escapes = bytes.is_ascii() && memchr::memmem::find(bytes, b"\x1b$").is_some();
    // ISO-2022-JP consists of ASCII characters, so that it is also UTF-8.
    if let Ok(text) = std::str::from_utf8(bytes)
        && !escapes
    {
        within(text.len(), limits)?;
        return Ok(without_nul(text.to_owned()));
    }
    decode_as(guess(bytes), bytes, limits)
}

fn within(length: usize, limits: &Limits) -> Result<()> {
    if length > limits.text_bytes {
        return Err(Error::limit("bytes of text", limits.text_bytes, "text_bytes"));
    }
    Ok(())
}

/// Databases do not take NUL inside text.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

fn decode_as(encoding: &'static Encoding, bytes: &[u8], limits: &Limits) -> Result<String> {
    // A byte becomes at most three, so what is far over the limit is not even decoded.
    within(bytes.len() / 4, limits)?;
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    within(text.len(), limits)?;
    Ok(without_nul(text.into_owned()))
}

/// UTF-16 without a mark: in most scripts that use blanks and digits, every second byte is often
/// zero.
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = bytes.get(..bytes.len().min(4096) & !1)?;
    if sample.len() < 4 {
        return None;
    }
    let pairs = sample.len() / 2;
    let zeros = |offset: usize| sample.iter().skip(offset).step_by(2).filter(|b| **b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    if odd * 3 > pairs && even * 20 <= pairs {
        Some(UTF_16LE)
    } else if even * 3 > pairs && odd * 20 <= pairs {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// Whether bytes are no text of a byte-oriented encoding.
pub(crate) fn looks_binary(bytes: &[u8]) -> bool {
    let sample = bytes.get(..bytes.len().min(SAMPLE)).unwrap_or_default();
    let control = |byte: &u8| *byte < 0x20 && !b"\t\n\r\x0c\x1b\x08".contains(byte);
    let (mut zeros, mut controls) = (0_usize, 0_usize);
    for byte in sample.iter().filter(|byte| control(byte)) {
        controls += 1;
        zeros += usize::from(*byte == 0);
    }
    zeros > 1 + sample.len() / 10_000 || controls * 50 > sample.len()
}

/// Whether bytes are UTF-16 without a mark.
pub(crate) fn is_wide(bytes: &[u8]) -> bool {
    wide(bytes).is_some()
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    // The interesting bytes may come late, so the sample begins where they do.
    let first = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or(0);
    let start = first.saturating_sub(1024);
    let sample = bytes.get(start..bytes.len().min(start + SAMPLE)).unwrap_or_default();
    // Broken UTF-8 is more often UTF-8 with a few wrong bytes than anything else.
    let (mut good, mut bad) = (0_usize, 0_usize);
    for chunk in sample.utf8_chunks() {
        good += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    if good > bad * 10 {
        return UTF_8;
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Allow);
    detector.feed(sample, true);
    detector.guess(None, chardetng::Utf8Detection::Allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], charset: Option<&str>) -> String {
        decode(bytes, charset, &Limits::default()).unwrap()
    }

    fn encoded(label: &str, text: &str) -> Vec<u8> {
        Encoding::for_label(label.as_bytes()).unwrap().encode(text).0.into_owned()
    }

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        let bytes = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    }

    const RUSSIAN: &str = "Съешь же ещё этих мягких французских булок, да выпей чаю.";
    const JAPANESE: &str = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。";
    const GERMAN: &str =
        "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich – täglich.";

    #[test]
    fn marks_decide() {
        assert_eq!(read(b"\xef\xbb\xbfabc", Some("windows-1252")), "abc");
        for little in [true, false] {
            let text = format!("\u{feff}{JAPANESE}");
            assert_eq!(read(&utf16(&text, little), None), JAPANESE);
        }
    }

    #[test]
    fn utf16_is_seen_without_a_mark() {
        for little in [true, false] {
            assert_eq!(read(&utf16(GERMAN, little), None), GERMAN);
        }
    }

    #[test]
    fn a_declared_charset_is_used() {
        assert_eq!(read(&encoded("koi8-r", RUSSIAN), Some("koi8-r")), RUSSIAN);
        assert_eq!(read(&encoded("shift_jis", JAPANESE), Some("Shift_JIS")), JAPANESE);
        assert_eq!(read(GERMAN.as_bytes(), Some("no such charset")), GERMAN);
        assert_eq!(read(b"plain", Some("utf-16le")), "plain");
    }

    #[test]
    fn old_encodings_are_guessed() {
        for (label, text) in [
            ("windows-1251", RUSSIAN),
            ("koi8-r", RUSSIAN),
            ("shift_jis", JAPANESE),
            ("euc-jp", JAPANESE),
            ("iso-2022-jp", JAPANESE),
            ("windows-1252", GERMAN),
        ] {
            assert_eq!(read(&encoded(label, text), None), text, "{label}");
        }
    }

    #[test]
    fn utf8_with_a_wrong_byte_stays_utf8() {
        let mut bytes = RUSSIAN.as_bytes().to_vec();
        bytes.insert(0, 0xff);
        assert_eq!(read(&bytes, None), format!("\u{fffd}{RUSSIAN}"));
    }

    #[test]
    fn binary_data_is_refused() {
        let bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
        let error = decode(&bytes, None, &Limits::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
    }

    #[test]
    fn text_holds_no_nul() {
        let text = "a line of text that is long enough\n".repeat(10) + "\0";
        assert!(!read(text.as_bytes(), None).contains('\0'));
    }

    #[test]
    fn long_text_is_refused() {
        let limits = Limits { text_bytes: 10, ..Limits::default() };
        for bytes in [&b"12345678901"[..], &encoded("windows-1251", RUSSIAN)] {
            assert_eq!(decode(bytes, None, &limits).unwrap_err().kind, ErrorKind::TooLarge);
        }
    }
}
