//! Damaged files are found: those beside the database are made again, the database is refused.
#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use chaski_index::{Chunk, Error, Hit, Index, Query, Settings};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const CHUNKS: usize = 5000;

fn chunk(number: usize) -> Chunk {
    let angle = f32::from(u16::try_from(number).unwrap());
    let text = format!("word{} and word{}", number % 97, number % 89);
    Chunk::new(format!("id-{number}"), text, vec![angle.sin(), angle.cos(), angle / 5000.0])
        .with("number", number)
}

/// An index of two files of segments, and what a query answers.
fn whole() -> (TempDir, Vec<Hit>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let index = Index::create(&path, &Settings::new(3)).unwrap();
    index.upsert(&(0..CHUNKS).map(chunk).collect::<Vec<_>>()).unwrap();
    index.close().unwrap();
    let index = Index::open(&path).unwrap();
    index.upsert(&(CHUNKS..CHUNKS + 50).map(chunk).collect::<Vec<_>>()).unwrap();
    index.delete(&["id-7", "id-5001"]).unwrap();
    let hits = ask(&index).unwrap();
    (folder, hits)
}

fn ask(index: &Index) -> Result<Vec<Hit>, Error> {
    index.search(&Query::hybrid(&[0.3, 0.4, 0.9], "word5 word17 word42").top(50))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("segments")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Where to damage a file of this length: its ends and places in between.
fn places(length: usize, count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).map(|part| part * (length - 1) / (count - 1)).collect();
    places.extend([8, 12, 16, 20, 24, 30].into_iter().filter(|place| *place < length));
    places
}

type Damage = fn(&mut Vec<u8>, usize);

const DAMAGES: [(&str, Damage); 3] = [
    ("flipped", |bytes, place| bytes[place] ^= 0x55),
    ("cut", Vec::truncate),
    ("overwritten", |bytes, place| {
        let end = (place + 3000).min(bytes.len());
        bytes[place..end].fill(0);
    }),
];

#[test]
fn damaged_segments_are_made_again() {
    let (folder, expected) = whole();
    let path = folder.path().join("index");
    let files = segments(&path);
    assert_eq!(files.len(), 2);
    let mut round = 0;
    for file in &files {
        let bytes = fs::read(file).unwrap();
        for (name, damage) in DAMAGES {
            for place in places(bytes.len(), 6) {
                let copied = folder.path().join(format!("copy-{round}"));
                round += 1;
                copy(&path, &copied);
                let target = copied.join("segments").join(file.file_name().unwrap());
                let mut bytes = bytes.clone();
                damage(&mut bytes, place);
                fs::write(&target, &bytes).unwrap();
                let index = Index::open(&copied).unwrap();
                assert_eq!(ask(&index).unwrap(), expected, "{name} at {place} of {file:?}");
                drop(index);
                let index = Index::open(&copied).unwrap();
                let stats = index.stats();
                assert_eq!(stats.segments, stats.saved_segments);
                assert_eq!(ask(&index).unwrap(), expected);
                fs::remove_dir_all(copied).unwrap();
            }
        }
    }
}

#[test]
fn segments_that_are_missing_exchanged_or_left_over_do_no_harm() {
    let (folder, expected) = whole();
    let path = folder.path().join("index");
    let files = segments(&path);
    fs::write(path.join("segments/left-over.tmp"), "half").unwrap();
    fs::copy(&files[0], &files[1]).unwrap();
    let index = Index::open(&path).unwrap();
    assert_eq!(ask(&index).unwrap(), expected);
    drop(index);
    assert!(!path.join("segments/left-over.tmp").exists());
    fs::remove_dir_all(path.join("segments")).unwrap();
    fs::remove_file(path.join("lock")).unwrap();
    assert_eq!(ask(&Index::open(&path).unwrap()).unwrap(), expected);
}

/// Either nothing is different, or the error names the file and the remedy.
fn check(folder: &Path, expected: &[Hit], what: &str) -> bool {
    let outcome = Index::open(folder).and_then(|index| {
        let hits = ask(&index)?;
        assert_eq!(hits, expected, "{what}");
        index.verify()?;
        assert_eq!(index.len(), CHUNKS + 48, "{what}");
        for number in (0..CHUNKS).step_by(10) {
            assert_eq!(index.get(&[&format!("id-{number}")])?, [chunk(number)], "{what}");
        }
        Ok(())
    });
    match outcome {
        Ok(()) => false,
        Err(error @ (Error::Damaged { .. } | Error::Version { .. } | Error::Missing(_))) => {
            let text = error.to_string();
            assert!(text.contains(folder.to_str().unwrap()), "{what}: {text}");
            true
        }
        Err(error) => panic!("{what}: {error:?}"),
    }
}

#[test]
fn a_damaged_database_is_refused_or_gives_what_was_put_in() {
    let (folder, expected) = whole();
    let path = folder.path().join("index");
    assert!(!check(&path, &expected, "whole"));
    let bytes = fs::read(path.join("index.db")).unwrap();
    let mut found = 0;
    for (name, damage) in DAMAGES {
        for place in places(bytes.len(), 30) {
            let copied = folder.path().join("copy");
            copy(&path, &copied);
            let mut bytes = bytes.clone();
            damage(&mut bytes, place);
            fs::write(copied.join("index.db"), &bytes).unwrap();
            found += usize::from(check(&copied, &expected, &format!("{name} at {place}")));
            fs::remove_dir_all(copied).unwrap();
        }
    }
    assert!(found > 60, "only {found} damages were found");
}

#[test]
fn a_damaged_log_gives_back_what_was_before_the_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let index = Index::create(&path, &Settings::new(3)).unwrap();
    for batch in 0..10 {
        index.upsert(&(batch * 10..batch * 10 + 10).map(chunk).collect::<Vec<_>>()).unwrap();
    }
    let log = fs::read(path.join("index.db-wal")).unwrap();
    let mut lengths = Vec::new();
    for (name, damage) in DAMAGES {
        for place in places(log.len(), 12) {
            let copied = folder.path().join("copy");
            copy(&path, &copied);
            let mut log = log.clone();
            damage(&mut log, place);
            fs::write(copied.join("index.db-wal"), &log).unwrap();
            // Without its log, the database may not have been begun.
            match Index::open(&copied) {
                Ok(index) => {
                    index.verify().unwrap();
                    assert_eq!(index.len() % 10, 0, "{name} at {place}");
                    lengths.push(index.len());
                }
                Err(error) => assert!(matches!(error, Error::Missing(_)), "{error}"),
            }
            fs::remove_dir_all(copied).unwrap();
        }
    }
    assert!(lengths.contains(&100) && lengths.iter().any(|length| *length < 100), "{lengths:?}");
}

#[test]
fn a_newer_version_and_a_database_of_others_are_refused() {
    let (folder, _) = whole();
    let path = folder.path().join("index");
    let database = || rusqlite::Connection::open(path.join("index.db")).unwrap();
    let refused = |part: &str| {
        let error = Index::open(&path).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    };
    database().execute_batch("PRAGMA user_version = 2").unwrap();
    refused("has format version 2, and this program reads versions up to 1; use a newer version");
    database().execute_batch("PRAGMA user_version = 1; PRAGMA application_id = 7").unwrap();
    refused("a database of another program");
    fs::write(path.join("index.db"), "no database at all ".repeat(1000)).unwrap();
    fs::remove_file(path.join("index.db-wal")).ok();
    refused("is damaged");
    fs::write(path.join("index.db"), "").unwrap();
    refused("there is no index");
}
