//! Readers beside a writer: each sees one state, whole.

use chaski_index::{Chunk, Index, Query, Settings};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

#[test]
fn readers_see_every_batch_as_a_whole_and_never_fail() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), &Settings::new(4)).unwrap();
    let batch = |round: usize| -> Vec<Chunk> {
        let chunk = |number: usize| {
            Chunk::new(
                format!("{number:02}"),
                format!("shared round{round}"),
                vec![1.0, 0.5, 0.2, 0.1],
            )
            .with("round", round)
        };
        (0..40).map(chunk).collect()
    };
    index.upsert(&batch(0)).unwrap();
    let (done, reads, compactions) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for reader in 0..3 {
            let (index, done, reads) = (&index, &done, &reads);
            scope.spawn(move || {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let query = match reader {
                        0 => Query::vector(&[1.0, 0.0, 0.0, 0.0]),
                        1 => Query::keyword("shared"),
                        _ => Query::hybrid(&[1.0, 0.0, 0.0, 0.0], "shared"),
                    };
                    let hits = index.search(&query.top(50)).unwrap();
                    let rounds: BTreeSet<u64> =
                        hits.iter().map(|hit| hit.metadata["round"].as_u64().unwrap()).collect();
                    assert_eq!((hits.len(), rounds.len()), (40, 1), "{rounds:?}");
                    let round = *rounds.first().unwrap();
                    assert!(round >= last, "{round} after {last}");
                    last = round;
                    let listed = index.list(None, 100, None).unwrap();
                    assert_eq!(listed.len(), 40);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                index.compact().unwrap();
                compactions.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 1..=200 {
            index.upsert(&batch(round)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(reads.load(Ordering::Relaxed) > 50 && compactions.load(Ordering::Relaxed) > 2);
    index.compact().unwrap();
    let stats = index.stats();
    assert_eq!((stats.chunks, stats.removed, stats.segments), (40, 0, 1));
    index.verify().unwrap();
}
