//! The header that names a part (RFC 7578, section 4.2).

use percent_encoding::percent_decode_str;

/// The name of a part, and that of its file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) name: String,
    pub(super) filename: Option<String>,
}

impl Disposition {
    /// Nothing if it is not that of a part of a form.
    pub(super) fn read(value: &str) -> Option<Self> {
        let (kind, parameters) = value.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return None;
        }
        let name = parameter(parameters, "name")?;
        let encoded = parameter(parameters, "filename*").and_then(|value| extended(&value));
        Some(Self { name, filename: encoded.or_else(|| parameter(parameters, "filename")) })
    }
}

/// A text with its character set before it: `UTF-8''na%C3%AFve.txt` (RFC 8187).
fn extended(value: &str) -> Option<String> {
    let mut fields = value.splitn(3, '\'');
    let (charset, _language, text) = (fields.next()?, fields.next()?, fields.next()?);
    let text = percent_decode_str(text);
    charset.eq_ignore_ascii_case("utf-8").then(|| text.decode_utf8_lossy().into_owned())
}

/// The value of the parameter called `name`, quoted or not.
pub(super) fn parameter(mut rest: &str, name: &str) -> Option<String> {
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (key, after) = rest.split_once('=')?;
        let (value, after) = value(after.trim_start())?;
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
}

/// A value, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value.replace("%22", "\""), &quoted[at + 1..])),
            // A backslash before anything else is meant: paths of Windows have them.
            '\\' => match characters.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push(character),
            },
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Disposition;

    #[test]
    fn names_are_read_as_clients_write_them() {
        let check = |value: &str, name: &str, filename: Option<&str>| {
            let (name, filename) = (name.to_owned(), filename.map(str::to_owned));
            assert_eq!(Disposition::read(value), Some(Disposition { name, filename }), "{value}");
        };
        check(r#"form-data; name="file"; filename="a.txt""#, "file", Some("a.txt"));
        check("form-data; name=file; filename=a.txt", "file", Some("a.txt"));
        check(r#"Form-Data;filename="x; name=\"y\""; NAME="z""#, "z", Some("x; name=\"y\""));
        check(r#"form-data; name="expires_after[seconds]""#, "expires_after[seconds]", None);
        check(
            r#"form-data; name="f"; filename="C:\dir\a%22b.txt""#,
            "f",
            Some("C:\\dir\\a\"b.txt"),
        );
        check("form-data; name=f; filename=\"x\"; filename*=UTF-8''%C3%A9.txt", "f", Some("é.txt"));
        check(r#"form-data; name="""#, "", None);
    }

    #[test]
    fn what_names_no_part_is_refused() {
        for value in [
            "",
            "form-data",
            "attachment; name=\"a\"",
            "form-data; filename=\"a\"",
            "form-data; name=\"a",
            "form-data; ;;;",
        ] {
            assert_eq!(Disposition::read(value), None, "{value}");
        }
    }
}
