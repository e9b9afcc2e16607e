//! AWS Signature Version 4 (AWS General Reference, "Create a signed AWS API request").

use super::Credentials;
use crate::client::secret_header;
use chaski_api::{Error, Result, Secret};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::{Timestamp, tz::TimeZone};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use url::{Position, Url};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What is signed, beside the credentials.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    pub method: &'a Method,
    /// With the path percent-encoded as it is sent.
    pub url: &'a Url,
    /// All of them are signed, so that no proxy may change them on the way.
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    pub region: &'a str,
    /// The name of the service in signatures: `bedrock`, `sts`.
    pub service: &'a str,
    pub time: Timestamp,
}

/// The headers to send, those given among them.
///
/// # Errors
/// `InvalidRequest` if the credentials cannot stand in a header.
pub(super) fn headers(signed: &Signed<'_>, credentials: &Credentials) -> Result<HeaderMap> {
    let time = signed.time.to_zoned(TimeZone::UTC);
    let stamp = time.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = &stamp[..8];
    let mut headers = signed.headers.clone();
    headers.insert(DATE, HeaderValue::from_str(&stamp).map_err(Error::internal)?);
    if let Some(token) = &credentials.session_token {
        headers.insert(SECURITY_TOKEN, secret_header("", token)?);
    }
    let (names, canonical) = canonical(signed, &headers);
    let scope = format!("{day}/{}/{}/aws4_request", signed.region, signed.service);
    let to_sign = format!("{ALGORITHM}\n{stamp}\n{scope}\n{}", hash(canonical.as_bytes()));

    let secret = format!("AWS4{}", credentials.secret_access_key.expose());
    let steps = [day, signed.region, signed.service, "aws4_request", to_sign.as_str()];
    let signature =
        steps.iter().fold(secret.into_bytes(), |key, step| authenticate(&key, step.as_bytes()));
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        credentials.access_key_id,
        hex(&signature)
    );
    headers.insert(header::AUTHORIZATION, secret_header("", &Secret::new(authorization))?);
    Ok(headers)
}

/// The names of the signed headers, and the request in the form that is signed.
fn canonical(signed: &Signed<'_>, headers: &HeaderMap) -> (String, String) {
    // A port that is the scheme's own is in neither the URL nor the header.
    let host = &signed.url[Position::BeforeHost..Position::AfterPort];
    let mut lines: Vec<(&str, String)> = vec![("host", host.to_owned())];
    for name in headers.keys() {
        let values = headers.get_all(name).iter().map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
        });
        lines.push((name.as_str(), values.collect::<Vec<_>>().join(",")));
    }
    lines.sort();
    let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");

    let mut text = format!("{}\n", signed.method);
    encode(signed.url.path(), &mut text);
    text.push('\n');
    text.push_str(&query(signed.url));
    text.push('\n');
    for (name, value) in &lines {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{name}:{value}");
    }
    let _written = write!(text, "\n{names}\n{}", hash(signed.body));
    (names, text)
}

/// The path once more percent-encoded: what was encoded for the way is signed as text.
fn encode(path: &str, out: &mut String) {
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _written = write!(out, "%{byte:02X}");
        }
    }
}

fn query(url: &Url) -> String {
    let parameters = url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(&str, &str)> =
        parameters.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn authenticate(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    code.update(text);
    code.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _written = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    struct Case {
        method: Method,
        url: &'static str,
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
        token: Option<&'static str>,
        scope: (&'static str, &'static str),
    }

    const PLAIN: Case = Case {
        method: Method::GET,
        url: "https://example.amazonaws.com/",
        headers: &[],
        body: "",
        token: None,
        scope: ("us-east-1", "service"),
    };

    /// The value of the header `Authorization` after `Credential=...`.
    fn signature(case: &Case) -> String {
        let mut given = HeaderMap::new();
        for (name, value) in case.headers {
            given.append(*name, HeaderValue::from_static(value));
        }
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new(SECRET),
            session_token: case.token.map(Secret::new),
            expires: None,
        };
        let signed = Signed {
            method: &case.method,
            url: &Url::parse(case.url).unwrap(),
            headers: &given,
            body: case.body.as_bytes(),
            region: case.scope.0,
            service: case.scope.1,
            time: "2015-08-30T12:36:00Z".parse().unwrap(),
        };
        let headers = headers(&signed, &credentials).unwrap();
        assert_eq!(headers[DATE], "20150830T123600Z");
        assert_eq!(headers.get(SECURITY_TOKEN).is_some(), case.token.is_some());
        assert!(headers[header::AUTHORIZATION].is_sensitive());
        let text = headers[header::AUTHORIZATION].to_str().unwrap();
        let (region, service) = case.scope;
        let scope = format!("AKIDEXAMPLE/20150830/{region}/{service}/aws4_request, ");
        let start = format!("AWS4-HMAC-SHA256 Credential={scope}SignedHeaders=");
        text.strip_prefix(&start).unwrap().replace(", Signature=", " ")
    }

    fn check(case: &Case, names: &str, expected: &str) {
        assert_eq!(signature(case), format!("{names} {expected}"), "{}", case.url);
    }

    /// From the test suite that AWS publishes for this algorithm.
    #[test]
    fn the_published_vectors_are_met() {
        check(
            &PLAIN,
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        );
        check(
            &Case { url: "https://example.amazonaws.com/?Param2=value2&Param1=value1", ..PLAIN },
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        );
        check(
            &Case { url: "https://example.amazonaws.com/?Param1=value2&Param1=Value1", ..PLAIN },
            "host;x-amz-date",
            "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
        );
        check(
            &Case {
                headers: &[("my-header1", " value1 "), ("my-header2", " \"a   b   c\" ")],
                ..PLAIN
            },
            "host;my-header1;my-header2;x-amz-date",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        );
        let post = Case { method: Method::POST, ..PLAIN };
        check(
            &post,
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        );
        check(
            &Case {
                headers: &[("content-type", "application/x-www-form-urlencoded")],
                body: "Param1=value1",
                ..post
            },
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        );
    }

    /// Made with botocore 1.43 for the same requests and time.
    #[test]
    fn requests_to_bedrock_are_signed_as_botocore_signs_them() {
        let chat = Case {
            method: Method::POST,
            url: "https://bedrock-runtime.us-west-2.amazonaws.com\
                  /model/anthropic.claude-3-5-sonnet-20241022-v2%3A0/converse-stream",
            headers: &[("content-type", "application/json")],
            body: "{\"messages\":[]}",
            token: Some("SESSIONTOKEN=="),
            scope: ("us-west-2", "bedrock"),
        };
        check(
            &chat,
            "content-type;host;x-amz-date;x-amz-security-token",
            "ee7cb50d302f6bfd315d57fbf3c2d4bbe79c5ee0b80ddcf8a8718b6fddf1e6f9",
        );
        check(
            &Case {
                url: "http://127.0.0.1:4566/model/arn%3Aaws%3Abedrock%3Aus-west-2%3A123456789012\
                      %3Ainference-profile%2Fus.meta.llama3-1-8b-instruct-v1%3A0/converse",
                body: "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"Grüße\"}]}]}",
                token: None,
                ..chat
            },
            "content-type;host;x-amz-date",
            "ccb3c7ce70fc3be13f451042b87824444e1a86b92e19f70046be277fe84947a7",
        );
    }
}
