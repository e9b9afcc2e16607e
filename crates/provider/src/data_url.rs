//! `data:` URLs: a file in its own address.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use chaski_api::{Error, Result};
use percent_encoding::percent_decode_str;

/// The media type, with its parameters, and the bytes of a `data:` URL.
///
/// # Errors
/// `InvalidRequest` if it is none; the message goes on from the name of what has it.
pub fn data_url(address: &str) -> Result<(String, Bytes)> {
    let broken = |why: &str| Error::invalid(format!("its `data:` URL {why}"));
    let scheme = address.get(.."data:".len()).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("data:") {
        return Err(broken("does not begin with `data:`"));
    }
    let (head, data) = address["data:".len()..]
        .split_once(',')
        .ok_or_else(|| broken("has no comma in front of the data"))?;
    let decoded: Vec<u8> = percent_decode_str(data).collect();
    let base64 = head.len().checked_sub(";base64".len()).and_then(|at| {
        let (media_type, end) = (head.get(..at)?, head.get(at..)?);
        end.eq_ignore_ascii_case(";base64").then_some(media_type)
    });
    match base64 {
        None => Ok((head.to_owned(), decoded.into())),
        Some(media_type) => {
            let text: Vec<u8> =
                decoded.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let bytes = BASE64_STANDARD
                .decode(text)
                .map_err(|error| broken("is not base64").caused_by(error))?;
            Ok((media_type.to_owned(), bytes.into()))
        }
    }
}

/// The `data:` URL of a file, in base64. The media type is one without commas.
pub fn data_url_of(media_type: &str, content: &[u8]) -> String {
    let mut url = format!("data:{media_type};base64,");
    BASE64_STANDARD.encode_string(content, &mut url);
    url
}

#[cfg(test)]
mod tests {
    use super::{data_url, data_url_of};

    #[test]
    fn files_come_back_from_their_urls() {
        let content: Vec<u8> = (0..=255).collect();
        let (media_type, read) = data_url(&data_url_of("image/png", &content)).unwrap();
        assert_eq!((media_type.as_str(), &read[..]), ("image/png", &content[..]));
    }

    #[test]
    fn data_urls_are_decoded() {
        let decoded = |url: &str| {
            let (media_type, body) = data_url(url).unwrap();
            (media_type, String::from_utf8(body.to_vec()).unwrap())
        };
        let of = |media_type: &str, text: &str| (media_type.to_owned(), text.to_owned());
        assert_eq!(
            decoded("data:text/plain,Plain%20data%20url"),
            of("text/plain", "Plain data url")
        );
        assert_eq!(decoded("DATA:text/plain;base64,aGk="), of("text/plain", "hi"));
        assert_eq!(decoded("data:;BASE64,aGk%3D"), of("", "hi"));
        assert_eq!(
            decoded("data:text/html;charset=utf-8,<p>a,b"),
            of("text/html;charset=utf-8", "<p>a,b")
        );
        for broken in ["data:text/plain", "data:;base64,?", "http://x", ""] {
            assert!(data_url(broken).is_err(), "{broken}");
        }
    }
}
