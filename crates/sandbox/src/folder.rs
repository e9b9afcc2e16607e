//! The folder that code works in, seen from outside.

use crate::{Limits, output::ProducedFile, private::Private};
use chaski_api::{Error, Result};
use rustix::fs::{Mode, OFlags};
use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fs::{self, File, Metadata, Permissions},
    hash::{Hash, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

/// The deepest folder in a folder that is looked into.
const DEPTH: usize = 32;

/// Bytes of the files of a call together that are returned. What does not fit is named only.
pub const RETURNED_BYTES: u64 = 8 << 20;

/// The files of a call that are listed.
const LISTED: usize = 64;

/// A private folder with a working folder and one for temporary files in it, removed when dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    root: Private,
    /// What was put into it by whom it belongs to, as hashes.
    placed: BTreeMap<String, u64>,
}

/// What tells two states of a file apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

/// The files of the working folder at one time.
#[derive(Debug, Default)]
pub(crate) struct Snapshot(BTreeMap<PathBuf, Stamp>);

/// What files use.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) bytes: u64,
    pub(crate) entries: usize,
    /// Whether there are folders that are too deep to be looked into.
    pub(crate) too_deep: bool,
}

impl Usage {
    /// What is over a limit, if something is.
    pub(crate) fn excess(&self, limits: &Limits) -> Option<String> {
        if self.bytes > limits.folder_bytes {
            return Some(format!("its files have more than {} bytes", limits.folder_bytes));
        }
        if self.too_deep {
            return Some(format!("its folders are more than {DEPTH} deep"));
        }
        let entries = limits.folder_entries;
        (self.entries > entries).then(|| format!("it has more than {entries} files and folders"))
    }
}

impl Folder {
    /// Makes one in the folder for temporary files.
    pub(crate) fn new() -> io::Result<Self> {
        let root = Private::new(&std::env::temp_dir())?;
        let folder = Self { root, placed: BTreeMap::new() };
        // The code may run as another user, who must come through here.
        fs::set_permissions(folder.root(), Permissions::from_mode(0o711))?;
        for inner in [folder.work(), folder.temporary()] {
            fs::create_dir(&inner)?;
            fs::set_permissions(&inner, Permissions::from_mode(0o700))?;
        }
        Ok(folder)
    }

    fn root(&self) -> &Path {
        &self.root.path
    }

    /// Where the code works.
    pub(crate) fn work(&self) -> PathBuf {
        self.root().join("work")
    }

    /// Where its libraries put what nobody asks for.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.root().join("tmp")
    }

    /// Puts a file into the working folder, unless the same was put there before.
    ///
    /// # Errors
    /// `InvalidRequest` for a name that is none.
    pub(crate) fn place(&mut self, name: &str, content: &[u8]) -> Result<()> {
        check_name(name)?;
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let hash = hasher.finish();
        if self.placed.get(name) == Some(&hash) {
            return Ok(());
        }
        let failed = |error: io::Error| {
            let message = format!("the file `{name}` cannot be put into the working folder");
            Error::unavailable(message).caused_by(error)
        };
        let path = self.work().join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // What the code may have put in its place meanwhile is not followed.
        let mut file = File::create_new(&path).map_err(failed)?;
        file.write_all(content).map_err(failed)?;
        let owner = fs::metadata(self.work()).map_err(failed)?;
        if owner.uid() != rustix::process::geteuid().as_raw() {
            chown(&path, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
        }
        self.placed.insert(name.to_owned(), hash);
        Ok(())
    }

    /// The files of the working folder.
    pub(crate) fn snapshot(&self, limits: &Limits) -> Snapshot {
        let mut files = BTreeMap::new();
        walk(&self.work(), limits.folder_entries, |path, metadata| {
            if metadata.is_file() {
                files.insert(path, stamp(metadata));
            }
        });
        Snapshot(files)
    }

    /// What the files use; also those that a process still writes to after it has removed them.
    pub(crate) fn usage(&self, process: u32, limits: &Limits) -> Usage {
        let mut usage = Usage::default();
        let mut count = |metadata: &Metadata| {
            usage.entries += 1;
            usage.bytes = usage.bytes.saturating_add(metadata.blocks().saturating_mul(512));
        };
        let depth = walk(self.root(), limits.folder_entries, |_, metadata| count(metadata));
        let open = fs::read_dir(format!("/proc/{process}/fd"));
        for entry in open.into_iter().flatten().flatten() {
            // The links lead to the files themselves, by whatever name.
            let removed = fs::metadata(entry.path());
            if let Ok(removed) = removed
                && removed.is_file()
                && removed.nlink() == 0
            {
                count(&removed);
            }
        }
        usage.too_deep = depth > DEPTH;
        usage
    }

    /// The files that are new or changed since then, with what they hold.
    pub(crate) fn produced(&self, before: &Snapshot, limits: &Limits) -> Vec<ProducedFile> {
        let mut left = RETURNED_BYTES;
        let mut files = Vec::new();
        for (path, stamp) in self.snapshot(limits).0 {
            if before.0.get(&path) == Some(&stamp) {
                continue;
            }
            if files.len() == LISTED {
                break;
            }
            let name = path.strip_prefix(self.work()).unwrap_or(&path);
            let content = (stamp.bytes <= left).then(|| read(&path, left)).flatten();
            let read = content.as_ref().map_or(0, Vec::len);
            left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
            let name = name.to_string_lossy().into_owned();
            files.push(ProducedFile { name, bytes: stamp.bytes, content });
        }
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays in the folder for temporary files.
        let _ = remove(self.root());
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    }
}

/// Calls `visit` with everything in a folder, at most about `most` of it, and says how deep it is;
/// what is deeper than [`DEPTH`] is not looked into. Links are not followed.
fn walk(root: &Path, most: usize, mut visit: impl FnMut(PathBuf, &Metadata)) -> usize {
    let (mut folders, mut seen, mut deepest) = (vec![(root.to_owned(), 0)], 0, 0);
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            seen += 1;
            if seen > most + 1 {
                return deepest;
            }
            if metadata.is_dir() {
                deepest = deepest.max(depth + 1);
                if depth < DEPTH {
                    folders.push((entry.path(), depth + 1));
                }
            }
            visit(entry.path(), &metadata);
        }
    }
    deepest
}

/// A regular file, of at most so many bytes; nothing if it is no such file any more.
fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut content = Vec::new();
    file.take(most).read_to_end(&mut content).ok()?;
    Some(content)
}

/// Refuses what is no plain name of a file.
fn check_name(name: &str) -> Result<()> {
    let shown: String = name.chars().take(80).collect();
    let wrong = |why: &str| {
        Error::invalid(format!("`{}` in `files` {why}", shown.escape_debug())).with_param("kwargs")
    };
    if name.is_empty() || name.len() > 255 {
        return Err(wrong("must have a name of 1 to 255 bytes"));
    }
    let is_odd = |c: char| c.is_control() || "/\\:".contains(c);
    if name.starts_with('.') || name.contains(is_odd) {
        return Err(wrong(
            "must be a plain name: no folder, no leading dot, no colon, no control character",
        ));
    }
    Ok(())
}

/// Removes a folder however deep it is: folders in it are moved up before they are emptied, so that
/// neither paths nor the stack grow.
pub(crate) fn remove(root: &Path) -> io::Result<()> {
    let (mut waiting, mut count) = (vec![root.to_owned()], 0_u64);
    let mut emptied = Vec::new();
    while let Some(folder) = waiting.pop() {
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            if !entry.file_type()?.is_dir() {
                fs::remove_file(path)?;
            } else if folder == root {
                waiting.push(path);
            } else {
                let up = root.join(format!(".removed-{count}"));
                count += 1;
                fs::rename(path, &up)?;
                waiting.push(up);
            }
        }
        if folder != root {
            emptied.push(folder);
        }
    }
    emptied.iter().try_for_each(fs::remove_dir)?;
    fs::remove_dir(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let long = "a".repeat(4096);
        let odd = ["", ".", "..", "../a", "/etc/passwd", "a/b", "a\\b", "C:a", "a\0b", "a\nb"];
        for name in odd.into_iter().chain([long.as_str(), ".bashrc", "..\\a"]) {
            let error = check_name(name).unwrap_err();
            assert_eq!(error.kind, chaski_api::ErrorKind::InvalidRequest, "{name}");
        }
        for name in ["a.txt", "100%.csv", "with space", "größe.csv", "a..b"] {
            check_name(name).unwrap();
        }
        let mut folder = Folder::new().unwrap();
        let mut encoded = "../a".to_owned();
        for _ in 0..9 {
            encoded = encoded.replace('%', "%25").replace('.', "%2e").replace('/', "%2f");
            folder.place(&encoded, b"x").unwrap();
            assert!(folder.work().join(&encoded).is_file());
        }
        assert_eq!(fs::read_dir(folder.work()).unwrap().count(), 9);
        assert_eq!(fs::read_dir(folder.root()).unwrap().count(), 2);
    }

    #[test]
    fn what_a_link_leads_to_is_neither_written_nor_returned() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        fs::write(outside.path(), "secret").unwrap();
        let mut folder = Folder::new().unwrap();
        let before = folder.snapshot(&Limits::default());
        symlink(outside.path(), folder.work().join("a.txt")).unwrap();
        symlink("/etc", folder.work().join("etc")).unwrap();
        assert_eq!(folder.produced(&before, &Limits::default()), []);
        assert_eq!(read(&folder.work().join("a.txt"), RETURNED_BYTES), None);
        folder.place("a.txt", b"mine").unwrap();
        assert_eq!(fs::read_to_string(outside.path()).unwrap(), "secret");
        let produced = folder.produced(&before, &Limits::default());
        assert_eq!(produced.len(), 1);
        assert_eq!(produced[0].content.as_deref(), Some(&b"mine"[..]));
    }

    #[test]
    fn files_that_were_placed_before_stay_as_the_code_left_them() {
        let mut folder = Folder::new().unwrap();
        folder.place("a.txt", b"one").unwrap();
        fs::write(folder.work().join("a.txt"), "changed").unwrap();
        folder.place("a.txt", b"one").unwrap();
        assert_eq!(fs::read_to_string(folder.work().join("a.txt")).unwrap(), "changed");
        folder.place("a.txt", b"two").unwrap();
        assert_eq!(fs::read_to_string(folder.work().join("a.txt")).unwrap(), "two");
    }

    #[test]
    fn files_are_returned_until_they_are_too_many_bytes_together() {
        let folder = Folder::new().unwrap();
        let before = folder.snapshot(&Limits::default());
        let half = vec![7; usize::try_from(RETURNED_BYTES / 2).unwrap()];
        for name in ["a", "b", "c"] {
            fs::write(folder.work().join(name), &half).unwrap();
        }
        fs::write(folder.work().join("d"), "").unwrap();
        let produced = folder.produced(&before, &Limits::default());
        let known: Vec<(u64, Option<&Vec<u8>>)> =
            produced.iter().map(|file| (file.bytes, file.content.as_ref())).collect();
        let bytes = RETURNED_BYTES / 2;
        let empty = Vec::new();
        assert_eq!(
            known,
            [(bytes, Some(&half)), (bytes, Some(&half)), (bytes, None), (0, Some(&empty))]
        );
    }

    #[test]
    fn a_very_deep_folder_is_removed() {
        let folder = Folder::new().unwrap();
        let root = folder.root().to_owned();
        let mut deep = folder.work();
        // Built from the inside, because a path may not have so many bytes.
        for round in 0..40 {
            let inner = root.join(format!("inner-{round}"));
            let bottom = (0..60).fold(inner.clone(), |path, _| path.join("deep"));
            fs::create_dir_all(&bottom).unwrap();
            fs::write(bottom.join("file"), "x").unwrap();
            fs::rename(&deep, bottom.join("deeper")).unwrap();
            deep = inner;
        }
        drop(folder);
        assert!(!root.exists());
    }

    #[test]
    fn usage_is_counted_until_it_is_too_much() {
        let folder = Folder::new().unwrap();
        let limits = Limits { folder_bytes: 100_000, folder_entries: 20, ..Limits::default() };
        let usage = || folder.usage(std::process::id(), &limits);
        assert_eq!(usage().excess(&limits), None);
        fs::write(folder.temporary().join("large"), vec![1; 200_000]).unwrap();
        assert!(usage().excess(&limits).unwrap().contains("100000 bytes"));
        fs::remove_file(folder.temporary().join("large")).unwrap();
        for number in 0..30 {
            fs::create_dir(folder.work().join(number.to_string())).unwrap();
        }
        assert!(usage().excess(&limits).unwrap().contains("20 files and folders"));
    }
}
