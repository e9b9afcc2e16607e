//! Private folders in the folder for temporary files, and those that dead processes have left there.

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, fstat},
    io::Errno,
};
use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

/// What the names of all of them begin with.
const PREFIX: &str = "chaski-python-";

/// Folders that are tried. Another process has a new one only while it looks whether it is anybody's.
const ATTEMPTS: usize = 16;

/// A private folder. It is locked; a lock ends with its process, however that ends, so that the
/// folders of the dead are told from those of the living whatever number a process has.
#[derive(Debug)]
pub(crate) struct Private {
    pub(crate) path: PathBuf,
    /// Nothing where the file system has no locks for folders. The folder of a process that is
    /// killed then stays behind.
    _lock: Option<OwnedFd>,
}

impl Private {
    /// Makes one in `parent`.
    pub(crate) fn new(parent: &Path) -> io::Result<Self> {
        Self::locked_by(parent, exclusively)
    }

    fn locked_by(parent: &Path, exclusively: Exclusively) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let path = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?.keep();
            match lock(&path, exclusively) {
                Ok(Lock::Held(lock)) => return Ok(Self { path, _lock: Some(lock) }),
                Ok(Lock::Impossible) => return Ok(Self { path, _lock: None }),
                Ok(Lock::Lost) => {}
                Err(error) => {
                    // It is empty, and what cannot be removed is removed at the next start.
                    let _ = fs::remove_dir(&path);
                    return Err(error);
                }
            }
        }
        Err(io::Error::other("another process removes all new folders"))
    }
}

/// How a folder is locked, without waiting.
type Exclusively = fn(&OwnedFd) -> Result<(), Errno>;

fn exclusively(folder: &OwnedFd) -> Result<(), Errno> {
    flock(folder, FlockOperation::NonBlockingLockExclusive)
}

enum Lock {
    Held(OwnedFd),
    /// Somebody else has it, or the folder is there no more.
    Lost,
    /// The file system has none for folders, as some that are reached by a network.
    Impossible,
}

fn lock(path: &Path, exclusively: Exclusively) -> io::Result<Lock> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(Lock::Lost),
        Err(error) => return Err(error.into()),
    };
    match exclusively(&folder) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Lock::Lost),
        Err(_) => return Ok(Lock::Impossible),
    }
    // Who had it before may have removed it after it was opened here.
    let number = fstat(&folder)?.st_ino;
    let is_there = fs::symlink_metadata(path).is_ok_and(|now| now.ino() == number);
    Ok(if is_there { Lock::Held(folder) } else { Lock::Lost })
}

/// Removes with `remove` the folders in `parent` whose processes have ended without doing so.
pub(crate) fn remove_abandoned(parent: &Path, remove: impl Fn(&Path) -> io::Result<()>) {
    let me = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_named = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // Anybody may put anything into this folder; links are not followed.
        let is_ours = || entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == me);
        if is_named
            && is_ours()
            && let Ok(Lock::Held(_lock)) = lock(&entry.path(), exclusively)
        {
            // What cannot be removed is tried again at the next start.
            let _ = remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        os::unix::fs::symlink,
        sync::atomic::{AtomicBool, Ordering},
    };

    #[test]
    fn only_what_nobody_has_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let [living, dead] = [(), ()].map(|()| Private::new(parent.path()).unwrap());
        let path = dead.path.clone();
        fs::write(path.join("file"), "x").unwrap();
        drop(dead);
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "x").unwrap();
        symlink(outside.path(), parent.path().join("chaski-python-link")).unwrap();
        fs::write(parent.path().join("chaski-python-file"), "x").unwrap();
        fs::create_dir(parent.path().join("chaski-other")).unwrap();
        remove_abandoned(parent.path(), |path| fs::remove_dir_all(path));
        assert!(!path.exists() && living.path.exists());
        assert!(outside.path().join("file").exists());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 4);
        // One that cannot be removed stops nothing.
        drop(living);
        remove_abandoned(parent.path(), |_| Err(io::Error::other("busy")));
        remove_abandoned(parent.path(), |path| fs::remove_dir_all(path));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_folder_is_used_without_a_lock_where_the_file_system_has_none() {
        let parent = tempfile::tempdir().unwrap();
        let unlockable: [Exclusively; 3] =
            [|_| Err(Errno::BADF), |_| Err(Errno::NOLCK), |_| Err(Errno::OPNOTSUPP)];
        for exclusively in unlockable {
            let made = Private::locked_by(parent.path(), exclusively).unwrap();
            assert!(made.path.is_dir());
        }
        let taken = Private::locked_by(parent.path(), |_| Err(Errno::WOULDBLOCK));
        assert!(taken.is_err(), "a folder that somebody has is not used");
    }

    #[test]
    fn folders_that_are_made_while_others_look_stay() {
        let parent = tempfile::tempdir().unwrap();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    remove_abandoned(parent.path(), |path| fs::remove_dir_all(path));
                }
            });
            let stayed = (0..20).all(|_| {
                let made: Vec<_> = (0..10).map(|_| Private::new(parent.path())).collect();
                made.iter().all(|one| one.as_ref().is_ok_and(|folder| folder.path.is_dir()))
            });
            ended.store(true, Ordering::SeqCst);
            assert!(stayed);
        });
    }
}
