//! The disk gets back what chunks took that are gone.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use chaski_index::{Chunk, Filter, Index, Query, Settings};
use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

const CHUNKS: usize = 6000;

fn filled(folder: &Path) -> Index {
    let index = Index::create(folder, &Settings::new(4)).unwrap();
    let text = "some words about llamas and condors ".repeat(160);
    for start in (0..CHUNKS).step_by(500) {
        let chunk = |number: usize| {
            Chunk::new(format!("{number:05}"), &*text, vec![1.0, 0.5, 0.2, 0.1])
                .with("kept", u8::from(number.is_multiple_of(100)))
        };
        index.upsert(&(start..start + 500).map(chunk).collect::<Vec<_>>()).unwrap();
    }
    index
}

/// The bytes of all files in a folder and those below it.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sizes = entries.map(|path| {
        if path.is_dir() { size(&path) } else { fs::metadata(&path).map_or(0, |file| file.len()) }
    });
    sizes.sum()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_mins(1), "waited too long for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn deleted_chunks_give_their_space_back_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let index = filled(folder.path());
    let full = size(folder.path());
    assert!(full > 30_000_000, "{full}");
    let deleted = index.delete_where(&Filter::eq("kept", 0)).unwrap();
    assert_eq!(deleted, CHUNKS - CHUNKS / 100);
    // Searching and writing go on meanwhile.
    index.upsert(&[Chunk::new("new", "a llama", vec![1.0, 0.0, 0.0, 0.0])]).unwrap();
    assert_eq!(index.search(&Query::keyword("llama").top(5)).unwrap().len(), 5);
    let database = folder.path().join("index.db");
    until("a small database", || fs::metadata(&database).unwrap().len() < full / 10);
    until("a small folder", || size(folder.path()) < full / 2);
    until("a small index in memory", || index.stats().removed < CHUNKS / 2);
    assert_eq!(index.len(), CHUNKS / 100 + 1);
    index.verify().unwrap();
    drop(index);
    let index = Index::open(folder.path()).unwrap();
    assert_eq!(index.len(), CHUNKS / 100 + 1);
}

#[test]
fn a_reader_of_the_state_before_is_not_disturbed() {
    let folder = tempfile::tempdir().unwrap();
    let index = filled(folder.path());
    let gone: Vec<String> = (1..CHUNKS).map(|number| format!("{number:05}")).collect();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while index.len() > 1 {
                        assert!(!index.list(None, 100, None).unwrap().is_empty());
                    }
                })
            })
            .collect();
        for ids in gone.chunks(1000) {
            index.delete(&ids.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
    // What a reader still needed then is given back with the next change, or after a minute.
    index.upsert(&[Chunk::new("new", "a llama", vec![1.0, 0.0, 0.0, 0.0])]).unwrap();
    let database = folder.path().join("index.db");
    until("a small database", || fs::metadata(&database).unwrap().len() < 4_000_000);
    index.verify().unwrap();
}
