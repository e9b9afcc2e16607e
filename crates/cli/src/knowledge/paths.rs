//! The files below the paths of a command line.

use crate::failure::{Failure, Outcome};
use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// The most files of one command.
const MOST: usize = 200_000;

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// What it is called in the vector store.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// When it was changed, in seconds since 1970.
    pub(super) modified: u64,
}

/// The files that paths name, and those in folders that they name, in the order of their names.
/// Hidden ones and links are passed over in folders.
pub(super) fn files(paths: &[PathBuf]) -> Outcome<Vec<Found>> {
    let mut found = Vec::new();
    for path in paths {
        let kind = fs::metadata(path)
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        if kind.is_dir() {
            walk(path, &mut found)?;
        } else if kind.is_file() {
            found.push(one(path, &kind));
        } else {
            // A pipe or a device may have no end.
            let message = format!("{}: neither a file nor a folder", path.display());
            return Err(Failure::failed(message));
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found.dedup_by(|one, other| one.name == other.name);
    Ok(found)
}

fn one(path: &Path, metadata: &fs::Metadata) -> Found {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let name: PathBuf = path.components().filter(|part| part.as_os_str() != ".").collect();
    Found {
        name: name.to_string_lossy().into_owned(),
        path: path.to_owned(),
        bytes: metadata.len(),
        modified: modified.map_or(0, |since| since.as_secs()),
    }
}

fn walk(folder: &Path, found: &mut Vec<Found>) -> Outcome {
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", folder.display()));
    let mut entries =
        fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            walk(&entry.path(), found)?;
        } else if kind.is_file() {
            if found.len() == MOST {
                let message = format!("there are more than {MOST} files; name fewer");
                return Err(Failure::failed(message));
            }
            found.push(one(&entry.path(), &entry.metadata().map_err(failed)?));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::files;

    #[test]
    fn folders_are_walked_without_hidden_files_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, content) in
            [("b.txt", "b"), ("a/c.md", "cc"), ("a/.hidden", "x"), (".git/x", "")]
        {
            std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            std::fs::write(path(name), content).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), path("a/loop")).unwrap();
        let all = files(&[folder.path().to_owned(), path("b.txt")]).unwrap();
        let names: Vec<_> = all.iter().map(|file| (file.path.clone(), file.bytes)).collect();
        assert_eq!(names, [(path("a/c.md"), 2), (path("b.txt"), 1)]);
        assert!(files(&[path("none")]).is_err());
        #[cfg(unix)]
        assert!(files(&["/dev/zero".into()]).is_err());
        // Who names a hidden file means it.
        assert_eq!(files(&[path("a/.hidden")]).unwrap().len(), 1);
    }
}
