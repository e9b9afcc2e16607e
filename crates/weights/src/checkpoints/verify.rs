//! Holding files against the list of checksums that was published with them.

use super::{Checkpoints, SHA256_LIST, disk};
use chaski_api::{Error, Result};
use chaski_llama::CHECKLIST;
use md5::Md5;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

/// What became of a file of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    Verified,
    /// The checksum in the list, and that of the file.
    Mismatch {
        expected: String,
        got: String,
    },
    Missing,
}

/// A file of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The path inside the folder of the model.
    pub file: String,
    pub finding: Finding,
}

impl Checkpoints {
    /// Reads every file of the list of the model called `name`. `tell` hears each of them.
    ///
    /// # Errors
    /// `NotFound` if there is no folder or no list, `InvalidRequest` if the list is none.
    pub fn verify(&self, name: &str, mut tell: impl FnMut(&Checked)) -> Result<Vec<Checked>> {
        let folder = self.find(name).ok_or_else(|| {
            let folder = self.folder(name).unwrap_or_else(|| PathBuf::from(name));
            Error::not_found(format!("Model directory not found: {}", folder.display()))
        })?;
        let md5 = folder.join(CHECKLIST);
        let (list, hash): (_, fn(&Path) -> io::Result<String>) = if md5.is_file() {
            (md5, hash::<Md5>)
        } else {
            let sha256 = folder.join(SHA256_LIST);
            if !sha256.is_file() {
                let list = md5.display();
                return Err(Error::not_found(format!("Checklist file not found: {list}")));
            }
            (sha256, hash::<Sha256>)
        };
        let text = fs::read_to_string(&list).map_err(|error| disk(&list, &error))?;
        let mut all = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let wrong = || {
                Error::invalid(format!(
                    "`{line}` in `{}` is not a checksum and a file",
                    list.display()
                ))
            };
            let (expected, file) = line.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
            // `*` says that the file is not text.
            let file = file.trim_start().trim_start_matches('*');
            let file = file.strip_prefix("./").unwrap_or(file);
            let inside =
                |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
            if file.is_empty() || !Path::new(file).components().all(inside) {
                return Err(wrong());
            }
            let path = folder.join(file);
            let finding = match hash(&path) {
                Ok(got) if got.eq_ignore_ascii_case(expected) => Finding::Verified,
                Ok(got) => Finding::Mismatch { expected: expected.to_lowercase(), got },
                Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::Missing,
                Err(error) => return Err(disk(&path, &error)),
            };
            let checked = Checked { file: file.to_owned(), finding };
            tell(&checked);
            all.push(checked);
        }
        if all.is_empty() {
            let list = list.display();
            return Err(Error::invalid(format!("`{list}` names no file")));
        }
        Ok(all)
    }
}

/// The checksum of a file in hexadecimal digits.
pub(super) fn hash<D: Digest>(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = D::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(crate::assemble::hex(&digest.finalize()));
        }
        digest.update(&buffer[..count]);
    }
}
