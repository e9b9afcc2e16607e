//! The files below the paths of a command line.

use crate::failure::{Failure, Outcome};
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// The most files of one command.
const MOST: usize = 200_000;

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Which file of this machine it is, from whichever folder it is named.
    pub(super) absolute: String,
    /// What it is called in the vector store.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// When it was changed, in seconds since 1970.
    pub(super) modified: u64,
}

/// What there is below paths.
#[derive(Debug, Default)]
pub(super) struct Below {
    pub(super) files: Vec<Found>,
    /// The folders and files in folders that cannot be read, and why.
    pub(super) unreadable: Vec<String>,
}

/// The files that paths name, and those in folders that they name, in the order of their names.
/// Hidden ones and links are passed over in folders.
pub(super) fn files(paths: &[PathBuf]) -> Outcome<Below> {
    let mut below = Below::default();
    for path in paths {
        let failed = |error| Failure::failed(named(path, &error));
        let kind = fs::metadata(path).map_err(failed)?;
        let absolute = fs::canonicalize(path).map_err(failed)?;
        if kind.is_dir() {
            walk(path, &absolute, &mut below)?;
        } else if kind.is_file() {
            below.files.push(one(path, &absolute, &kind));
        } else {
            // A pipe or a device may have no end.
            let message = format!("{}: neither a file nor a folder", path.display());
            return Err(Failure::failed(message));
        }
    }
    below.files.sort_by(|one, other| one.name.cmp(&other.name));
    let mut seen = HashSet::new();
    below.files.retain(|file| seen.insert(file.absolute.clone()));
    Ok(below)
}

/// An error and what it is about.
fn named(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn one(path: &Path, absolute: &Path, metadata: &fs::Metadata) -> Found {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let name: PathBuf = path.components().filter(|part| part.as_os_str() != ".").collect();
    Found {
        name: name.to_string_lossy().into_owned(),
        path: path.to_owned(),
        absolute: absolute.to_string_lossy().into_owned(),
        bytes: metadata.len(),
        modified: modified.map_or(0, |since| since.as_secs()),
    }
}

/// Adds the files of a folder. What cannot be read does not stop the rest.
fn walk(folder: &Path, absolute: &Path, below: &mut Below) -> Outcome {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            below.unreadable.push(named(folder, &error));
            return Ok(());
        }
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let (path, absolute) = (entry.path(), absolute.join(entry.file_name()));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&path, &absolute, below)?,
            Ok(kind) if kind.is_file() => {
                if below.files.len() == MOST {
                    let message = format!("there are more than {MOST} files; name fewer");
                    return Err(Failure::failed(message));
                }
                match entry.metadata() {
                    Ok(metadata) => below.files.push(one(&path, &absolute, &metadata)),
                    Err(error) => below.unreadable.push(named(&path, &error)),
                }
            }
            Ok(_) => {}
            Err(error) => below.unreadable.push(named(&path, &error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Below, files, walk};

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
        let all = files(&[folder.path().to_owned(), path("b.txt")]).unwrap().files;
        let names: Vec<_> = all.iter().map(|file| (file.path.clone(), file.bytes)).collect();
        assert_eq!(names, [(path("a/c.md"), 2), (path("b.txt"), 1)]);
        assert!(files(&[path("none")]).is_err());
        #[cfg(unix)]
        assert!(files(&["/dev/zero".into()]).is_err());
        // Who names a hidden file means it.
        assert_eq!(files(&[path("a/.hidden")]).unwrap().files.len(), 1);
    }
    #[test]
    fn a_file_is_the_same_from_everywhere_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for project in ["p1", "p2"] {
            std::fs::create_dir(path(project)).unwrap();
            std::fs::write(path(project).join("README.md"), project).unwrap();
        }
        let all = files(&[
            path("p1/README.md"),
            path("p2/../p1/README.md"),
            path("p1"),
            path("p2/./README.md"),
        ]);
        let all = all.unwrap().files;
        let found: Vec<_> = all.iter().map(|file| file.absolute.as_str()).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        let real = std::fs::canonicalize(folder.path()).unwrap();
        for project in ["p1", "p2"] {
            let absolute = real.join(project).join("README.md");
            assert!(found.contains(&absolute.to_str().unwrap()), "{found:?}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_named_and_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        std::fs::write(folder.path().join("a.txt"), "a").unwrap();
        let mut below = Below::default();
        walk(&gone, &gone, &mut below).unwrap();
        walk(folder.path(), folder.path(), &mut below).unwrap();
        assert_eq!(below.files.len(), 1);
        assert_eq!(below.unreadable.len(), 1);
        assert!(below.unreadable[0].starts_with(gone.to_str().unwrap()), "{below:?}");
    }
}
