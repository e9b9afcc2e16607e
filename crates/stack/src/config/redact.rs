//! What is secret in a configuration, by the names of its keys and the look of its values.

use chaski_api::Secret;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Parts of a key's name that make its value secret, whatever stands around them.
const PARTS: &[&str] = &[
    "api_key",
    "apikey",
    "api_token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "authorization",
    "credential",
    "private_key",
    "access_key",
    "session_token",
    "cookie",
];

/// Words that, before `key` at the end of a name, make the value secret.
const KEY_OF: &[&str] = &[
    "access",
    "account",
    "admin",
    "api",
    "auth",
    "encryption",
    "license",
    "master",
    "private",
    "secret",
    "service",
    "session",
    "shared",
    "signing",
    "subscription",
];

/// Words that, before `token` at the end of a name, say that it is no credential.
const TOKEN_OF: &[&str] = &[
    "bos", "end", "eos", "image", "mask", "max", "min", "pad", "per", "special", "start", "stop",
    "unk",
];

/// Words that, before `tokens` at the end of a name, say that they are credentials.
const TOKENS_OF: &[&str] = &["access", "api", "auth", "bearer", "refresh", "session"];

/// How words begin that are secret under any name, and how long they must be at least.
const PREFIXES: &[(&str, usize)] = &[
    ("sk-", 16),
    ("hf_", 16),
    ("gsk_", 16),
    ("nvapi-", 16),
    ("ghp_", 16),
    ("xoxb-", 16),
    ("tvly-", 16),
    ("AKIA", 16),
    ("AIza", 30),
    ("eyJ", 40),
];

/// What stands between the words of a text.
const BETWEEN: &[char] = &[' ', '\t', '\n', ';', ',', '&', '?', '\'', '"'];

/// The value with everything secret replaced.
#[must_use]
pub fn redacted(mut value: Value) -> Value {
    redact(&mut value);
    value
}

/// Replaces everything secret.
pub fn redact(value: &mut Value) {
    walk(value, None);
}

/// The text without passwords in addresses and what else looks secret.
pub(crate) fn redacted_text(text: &str) -> String {
    clean(text).unwrap_or_else(|| text.to_owned())
}

/// The members with everything secret replaced.
pub(crate) fn redacted_map(members: &Map<String, Value>) -> Map<String, Value> {
    let mut members = members.clone();
    walk_members(&mut members, None);
    members
}

fn walk_members(members: &mut Map<String, Value>, parent: Option<&str>) {
    for (key, member) in members {
        if is_secret_name(key) || (is_lone_key(key, parent) && member.is_string()) {
            mask(member);
        } else {
            walk(member, Some(key));
        }
    }
}

fn walk(value: &mut Value, parent: Option<&str>) {
    match value {
        Value::Object(members) => walk_members(members, parent),
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, parent)),
        Value::String(text) => {
            if let Some(clean) = clean(text) {
                *text = clean;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Replaces every scalar below a secret name, but keeps the structure.
fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(mask),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            *value = Secret::REDACTED.into();
        }
    }
}

fn is_secret_name(key: &str) -> bool {
    let words = words(key);
    let name = words.join("_");
    if PARTS.iter().any(|part| name.contains(part)) {
        return true;
    }
    let before = words.len().checked_sub(2).map(|index| words[index].as_str());
    match words.last().map(String::as_str) {
        Some("token") => before.is_none_or(|word| !TOKEN_OF.contains(&word)),
        Some("tokens") => before.is_some_and(|word| TOKENS_OF.contains(&word)),
        Some("key" | "keys") => before.is_some_and(|word| KEY_OF.contains(&word)),
        Some("bearer" | "auth") => words.len() == 1 && key != "auth",
        _ => false,
    }
}

/// Whether a key that is called just `key` stands among credentials.
fn is_lone_key(key: &str, parent: Option<&str>) -> bool {
    matches!(words(key).join("_").as_str(), "key" | "pass" | "pwd")
        && parent.is_none_or(|parent| {
            !words(parent)
                .iter()
                .any(|word| matches!(word.as_str(), "metadata" | "params" | "schema"))
        })
}

/// The words of a name in lower case: `awsAccessKey-ID` has four.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut last_lower = false;
    for letter in name.chars() {
        let boundary = !letter.is_alphanumeric() || (letter.is_uppercase() && last_lower);
        if boundary && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
        last_lower = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The text without the secrets that it holds by its look; nothing if it holds none.
fn clean(text: &str) -> Option<String> {
    let basic = text.strip_prefix("Basic ").is_some_and(|rest| !rest.contains(' '));
    if basic || text.starts_with("-----BEGIN") {
        return Some(Secret::REDACTED.to_owned());
    }
    let words = clean_words(text);
    let cleaned = clean_userinfo(&words);
    (cleaned != text).then(|| cleaned.into_owned())
}

/// The text without words that are secret: by how they begin, after `Bearer`, or after a name
/// and `=`, as in the query of an address.
fn clean_words(text: &str) -> String {
    let is_address = text.contains("://");
    let mut out = String::with_capacity(text.len());
    let mut last = "";
    for piece in text.split_inclusive(BETWEEN) {
        let word = piece.trim_end_matches(BETWEEN);
        let between = &piece[word.len()..];
        let looks_secret =
            PREFIXES.iter().any(|(prefix, least)| word.starts_with(prefix) && word.len() >= *least);
        let after_scheme = matches!(last, "Bearer" | "bearer") && word.len() >= 3;
        match word.split_once('=') {
            Some((name, value))
                if !value.is_empty()
                    && (is_secret_name(name) || is_address && matches!(name, "key" | "sig")) =>
            {
                out.push_str(name);
                out.push('=');
                out.push_str(Secret::REDACTED);
            }
            _ if looks_secret || after_scheme => out.push_str(Secret::REDACTED),
            _ => out.push_str(word),
        }
        out.push_str(between);
        if !word.is_empty() {
            last = word;
        }
    }
    out
}

/// `http://user:password@host` without the password, wherever in the text it stands.
fn clean_userinfo(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (scheme, from) = rest.split_at(at + 3);
        out.push_str(scheme);
        let end = from.find(['/', '?', '#', ' ', ',', '"', '\'']).unwrap_or(from.len());
        let authority = &from[..end];
        match authority.rsplit_once('@') {
            // A lone name may be a token: `https://TOKEN@host`.
            Some((user, host)) => {
                if let Some((name, _)) = user.split_once(':') {
                    out.push_str(name);
                    out.push(':');
                }
                out.push_str(Secret::REDACTED);
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = &from[end..];
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::redacted;
    use serde_json::json;

    const HIDDEN: &str = "********";

    #[test]
    fn everything_that_the_reference_hides_is_hidden() {
        let out = redacted(json!({
            "api_key": "", "API_KEY": null, "my_Secret_x": 5, "password": { "secret": true },
            "l": [{ "api_token": "t" }], "openai_api_key": "k",
        }));
        let expected = json!({
            "api_key": HIDDEN, "API_KEY": HIDDEN, "my_Secret_x": HIDDEN,
            "password": { "secret": HIDDEN },
            "l": [{ "api_token": HIDDEN }], "openai_api_key": HIDDEN,
        });
        assert_eq!(out, expected);
    }

    #[test]
    fn lists_tokens_and_credentials_are_hidden_too() {
        let out = redacted(json!({
            "passwords": ["a"], "password": { "x": 1 }, "l": [[{ "secret": "leak" }]],
            "token": "t", "hf-token": "t", "authToken": "t", "api_token_list": ["a"],
            "headers": { "Authorization": "Bearer abc", "X-Api-Key": "k", "Cookie": "c" },
            "credentials": { "user": "u" }, "aws_access_key_id": "A", "aws_session_token": "s",
            "awsSecretAccessKey": "s", "key": "abc", "encryption_key": "k", "access_tokens": ["x"],
            "anything": "sk-0123456789abcdef", "pem": "-----BEGIN PRIVATE KEY-----",
        }));
        let text = out.to_string();
        for leak in [
            "\"a\"", "leak", "\"t\"", "abc", "\"k\"", "\"c\"", "\"u\"", "\"A\"", "\"s\"", "sk-",
            "BEGIN",
        ] {
            assert!(!text.contains(leak), "{leak} in {text}");
        }
    }

    #[test]
    fn passwords_in_addresses_are_hidden() {
        let out = redacted(json!({
            "url": "http://u:p@h:1/x?q=1",
            "dsn": "postgres://me:p%40ss@db/x",
            "git": "https://tokentoken@host/",
            "search": "https://h/v1?api_key=abc&q=1&token=t",
            "plain": "https://h/v1?q=a@b",
            "sinks": ["redis://:pw@h"],
        }));
        let expected = json!({
            "url": "http://u:********@h:1/x?q=1",
            "dsn": "postgres://me:********@db/x",
            "git": "https://********@host/",
            "search": "https://h/v1?api_key=********&q=1&token=********",
            "plain": "https://h/v1?q=a@b",
            "sinks": ["redis://:********@h"],
        });
        assert_eq!(out, expected);
    }

    #[test]
    fn secrets_inside_texts_are_hidden() {
        let cleaned = |text: &str| redacted(text.into());
        assert_eq!(
            cleaned("host=h user=me password=pa$$ dbname=x"),
            "host=h user=me password=******** dbname=x"
        );
        assert_eq!(
            cleaned("401 for key sk-0123456789abcdef, try again"),
            "401 for key ********, try again"
        );
        assert_eq!(cleaned("Authorization: Bearer abc.def"), "Authorization: Bearer ********");
        assert_eq!(cleaned("Bearer abcdef"), "Bearer ********");
        assert_eq!(cleaned("Basic dTpwYXNz"), "********");
        assert_eq!(
            cleaned("cannot reach http://me:pw@h/v1?token=t&q=1: refused"),
            "cannot reach http://me:********@h/v1?token=********&q=1: refused"
        );
        for plain in [
            "",
            "a, b; c",
            "max_tokens=5",
            "x=1&y=2",
            "--- text ---",
            "what? \"this\"",
            "Basic as a rule",
        ] {
            assert_eq!(cleaned(plain), plain);
        }
    }

    #[test]
    fn what_only_sounds_secret_stays_readable() {
        let value = json!({
            "max_tokens": "4096", "tokenizer": "llama3", "eos_token": "</s>", "token_count": 3,
            "tls_keyfile": "/k.pem", "public_key": "p", "primary_key": "id", "keyboard": "qwerty",
            "auth": { "endpoint": "http://a/" }, "author": "me", "max_token": 1,
            "metadata": { "key": "colour" }, "model": "sk-1", "email": "a@b.c", "monkey": "m",
        });
        assert_eq!(redacted(value.clone()), value);
    }
}
