//! From fetched files to one checked GGUF file.

use crate::catalogue::Assembly;
use chaski_api::{Error, Result};
use chaski_llm::gguf::{BertFiles, Header, convert_bert, widen};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// Checks the fetched files and makes one GGUF file of them; gives back its path and its SHA-256.
pub(crate) fn assemble(
    assembly: Assembly,
    files: &[PathBuf],
    made: PathBuf,
) -> Result<(PathBuf, String)> {
    let invalid = |error: chaski_llm::Error| Error::unavailable(error.to_string());
    let [first, rest @ ..] = files else { return Err(Error::internal("no file was fetched")) };
    match (assembly, rest) {
        (Assembly::Joined { sha256 }, _) => {
            if let Some(expected) = sha256 {
                check(first, expected)?;
            }
            if let Err(error) = Header::read(first) {
                _ = fs::remove_file(first);
                return Err(invalid(error));
            }
            Ok((first.clone(), checksum(first)?))
        }
        (Assembly::Widened { sha256 }, _) => {
            check(first, sha256)?;
            widen(first, &made).map_err(invalid)?;
            _ = fs::remove_file(first);
            let sha256 = checksum(&made)?;
            Ok((made, sha256))
        }
        (Assembly::Bert { sha256, shape }, [words]) => {
            check(first, sha256[0])?;
            check(words, sha256[1])?;
            convert_bert(BertFiles { weights: first, vocabulary: words }, shape, &made)
                .map_err(invalid)?;
            _ = (fs::remove_file(first), fs::remove_file(words));
            let sha256 = checksum(&made)?;
            Ok((made, sha256))
        }
        (Assembly::Bert { .. }, _) => Err(Error::internal("a BERT model has two files")),
    }
}

/// Removes the file and fails when its SHA-256 is another one.
pub(crate) fn check(path: &Path, expected: &str) -> Result<()> {
    let found = checksum(path)?;
    if found == expected {
        return Ok(());
    }
    _ = fs::remove_file(path);
    Err(Error::unavailable(format!(
        "what came is not the expected file: its SHA-256 is {found} in place of {expected}"
    )))
}

fn checksum(path: &Path) -> Result<String> {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(hex(&hash.finalize()));
            }
            hash.update(&buffer[..count]);
        }
    };
    read().map_err(|error| Error::unavailable(format!("a fetched file cannot be read: {error}")))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        _ = write!(out, "{byte:02x}");
        out
    })
}
