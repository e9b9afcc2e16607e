//! Names of collections: stores allow fewer characters than the ids of vector databases.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// `id` itself if it has at most `longest` characters and all of them are allowed; else what is
/// left of it, with a part of its hash behind it, so that no two ids get one name.
///
/// The first and the last character are letters or digits.
pub(crate) fn collection(id: &str, longest: usize, allowed: impl Fn(char) -> bool) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || allowed(letter);
    let at_end = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    let is_plain = (3..=longest).contains(&id.len())
        && id.chars().all(fits)
        && at_end(id.chars().next())
        && at_end(id.chars().last());
    // What looks like a made name gets another one, so that it cannot be taken for that of another.
    if is_plain && !id.starts_with(MADE) {
        return id.to_owned();
    }
    made(id, longest)
}

/// A name made of `id` with at most `longest` characters, all of them letters and digits.
pub(crate) fn made(id: &str, longest: usize) -> String {
    let mut hash = String::with_capacity(HASH);
    for byte in Sha256::digest(id.as_bytes()).iter().take(HASH / 2) {
        // Writing to a text does not fail.
        let _ = write!(hash, "{byte:02x}");
    }
    let room = longest.saturating_sub(MADE.len() + HASH).min(KEPT);
    let kept: String = id.chars().filter(char::is_ascii_alphanumeric).take(room).collect();
    format!("{MADE}{kept}{hash}")
}

/// What names begin with that are made of an id which is none.
const MADE: &str = "vdb0";
/// The digits of the hash.
const HASH: usize = 24;
/// The most characters of the id that are kept in front of the hash, for people to recognise.
const KEPT: usize = 24;

#[cfg(test)]
mod tests {
    use super::collection;
    use std::collections::HashSet;

    #[test]
    fn a_name_that_fits_stays_and_others_never_meet() {
        let name = |id: &str| collection(id, 60, |letter| letter == '-' || letter == '_');
        assert_eq!(name("my-docs_1"), "my-docs_1");
        let long = "x".repeat(61);
        let ids =
            ["a/b", "a b", "ab", "a-b-", "_ab", "a\u{e9}b", "a;drop table x", "", &long, "vdb0a"];
        let names: HashSet<String> = ids.iter().map(|id| name(id)).collect();
        assert_eq!(names.len(), ids.len());
        for name in names {
            assert!(name.starts_with("vdb0") && name.len() <= 60, "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}");
        }
    }
}
