//! The indexes that are open: each takes files, memory and a thread, so only those that were used last
//! stay open.

use super::folder::{self, Folder};
use chaski_api::{Error, Result};
use chaski_index::Index;
use chaski_provider::Cpu;
use rustix::process::{Resource, getrlimit};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Mutex as Gate, OwnedMutexGuard};

/// The files that an open index needs; more while requests search it at the same time.
const FILES: u64 = 8;
/// The fewest and the most indexes that are open while nobody uses them.
const FEWEST: u64 = 16;
const MOST: u64 = 256;

/// An index, if it is open. Whoever opens or closes it holds the gate.
type Place = Arc<Gate<Option<Arc<Index>>>>;
type Held = OwnedMutexGuard<Option<Arc<Index>>>;

/// The indexes of a folder.
pub(super) struct Indexes {
    folder: Folder,
    /// Where indexes are opened and closed.
    cpu: Cpu,
    /// How many are open while nobody uses them.
    most: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By the name of their folder: the time of the last use, and the index.
    places: HashMap<String, (u64, Place)>,
    /// Grows with each use.
    time: u64,
}

/// As many as half of the files that this process may open allow.
pub(super) fn most() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from((files / 2 / FILES).clamp(FEWEST, MOST)).unwrap_or(usize::MAX)
}

impl Indexes {
    pub(super) fn new(folder: Folder, cpu: Cpu, most: usize) -> Self {
        Self { folder, cpu, most, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of an index, which is used now.
    fn place(&self, name: &str) -> Place {
        let mut known = self.known();
        known.time += 1;
        let time = known.time;
        let (used, place) = known.places.entry(name.to_owned()).or_default();
        *used = time;
        Arc::clone(place)
    }

    /// The index for a provider's id of a vector database, made by `open` from its folder unless it is
    /// open.
    ///
    /// # Errors
    /// Those of `open`.
    pub(super) async fn get(
        &self,
        id: &str,
        open: impl FnOnce(PathBuf) -> Result<Index> + Send + 'static,
    ) -> Result<Arc<Index>> {
        let name = folder::name(id);
        let mut held = self.place(&name).lock_owned().await;
        if let Some(index) = &*held {
            return Ok(Arc::clone(index));
        }
        let path = self.folder.path(&name);
        // The gate is held to the end of the work, even if the caller leaves.
        let work = move || {
            let index = Arc::new(open(path)?);
            *held = Some(Arc::clone(&index));
            Ok::<_, Error>(index)
        };
        let index = self.cpu.run(work).await??;
        self.close_unused().await;
        Ok(index)
    }

    /// Closes those that were not used for the longest time, as long as there are too many.
    async fn close_unused(&self) {
        while let Some(held) = self.unused() {
            let work = move || close(held);
            if let Err(error) = self.cpu.run(work).await.flatten() {
                tracing::warn!(target: "tools", "an index could not be closed well: {}", error.chain());
            }
        }
    }

    /// The index that nobody uses and that was used before all others, if too many are open.
    fn unused(&self) -> Option<Held> {
        let mut known = self.known();
        let mut open = 0;
        let mut first: Option<(u64, Held)> = None;
        known.places.retain(|_, (used, place)| {
            // Nobody else can get it while the map is locked.
            let is_wanted = Arc::strong_count(place) > 1;
            let Ok(held) = Arc::clone(place).try_lock_owned() else {
                open += 1;
                return true;
            };
            let Some(index) = &*held else { return is_wanted };
            open += 1;
            let is_free = Arc::strong_count(index) == 1;
            if is_free && first.as_ref().is_none_or(|(earliest, _)| *used < *earliest) {
                first = Some((*used, held));
            }
            true
        });
        first.filter(|_| open > self.most).map(|(_, held)| held)
    }

    /// Closes the index for a provider's id of a vector database, and removes it with its files.
    ///
    /// # Errors
    /// `Unavailable` if files cannot be removed.
    pub(super) async fn remove(&self, id: &str) -> Result<()> {
        let name = folder::name(id);
        let held = self.place(&name).lock_owned().await;
        let path = self.folder.path(&name);
        let work = move || {
            let mut held = held;
            if let Some(index) = held.take() {
                index.close()?;
            }
            Index::remove(&path)
        };
        match self.cpu.run(work).await? {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(Error::unavailable("the vector database cannot be removed").caused_by(error))
            }
        }
    }

    /// The indexes that are open, but for those that are just being opened or closed.
    pub(super) fn open(&self) -> Vec<Arc<Index>> {
        let known = self.known();
        let places = known.places.values();
        places.filter_map(|(_, place)| place.try_lock().ok()?.clone()).collect()
    }

    /// Closes all of them for good.
    pub(super) async fn shut(&self) {
        let places: Vec<Place> =
            self.known().places.values().map(|(_, place)| Arc::clone(place)).collect();
        for place in places {
            let held = place.lock_owned().await;
            let work = move || {
                // It stays where it is, so that nobody opens it again.
                let closed = held.as_ref().map(|index| index.close());
                drop(held);
                closed.unwrap_or(Ok(())).map_err(Error::from)
            };
            // What is not closed well is made again when it is opened.
            if let Err(error) = self.cpu.run(work).await.flatten() {
                tracing::warn!(target: "tools", "an index could not be closed well: {}", error.chain());
            }
        }
    }
}

fn close(mut held: Held) -> Result<()> {
    held.take().map_or(Ok(()), |index| index.close().map_err(Error::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_index::{Chunk, Query, Settings};
    use futures_util::future::join_all;

    fn indexes(folder: &tempfile::TempDir, most: usize) -> Indexes {
        Indexes::new(Folder::at(folder.path()), Cpu::new(2), most)
    }

    async fn index(indexes: &Indexes, id: &str) -> Arc<Index> {
        let open = |path| Ok(Index::open_or_create(path, &Settings::new(2))?);
        indexes.get(id, open).await.unwrap()
    }

    #[tokio::test]
    async fn only_those_stay_open_that_were_used_last() {
        let folder = tempfile::tempdir().unwrap();
        let indexes = indexes(&folder, 3);
        for number in 0..10 {
            let index = index(&indexes, &format!("db-{number}")).await;
            index.upsert(&[Chunk::new("a", "a llama", vec![1.0, 0.0])]).unwrap();
            drop(index);
            // It is used all the time.
            drop(self::index(&indexes, "db-0").await);
            assert!(indexes.open().len() <= 3);
        }
        assert_eq!(indexes.known().places.len(), 3, "nothing stays of those that are closed");
        let is_open = |id: &str| {
            let known = indexes.known();
            known.places.get(id).is_some_and(|(_, place)| place.try_lock().unwrap().is_some())
        };
        assert!(is_open("db-0") && is_open("db-9") && !is_open("db-1"));
        for number in 0..10 {
            let index = index(&indexes, &format!("db-{number}")).await;
            assert_eq!(index.search(&Query::keyword("llama")).unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn what_is_in_use_stays_open() {
        let folder = tempfile::tempdir().unwrap();
        let indexes = indexes(&folder, 1);
        let held = join_all(["one", "two", "three"].map(|id| index(&indexes, id))).await;
        assert_eq!(indexes.open().len(), 3);
        for index in &held {
            index.upsert(&[Chunk::new("a", "a llama", vec![1.0, 0.0])]).unwrap();
        }
        drop(held);
        drop(index(&indexes, "four").await);
        assert_eq!(indexes.open().len(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_index_is_opened_and_closed_by_many_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let indexes = Arc::new(indexes(&folder, 2));
        let requests = (0..64_u32).map(|number| {
            let indexes = Arc::clone(&indexes);
            tokio::spawn(async move {
                let index = index(&indexes, &format!("db-{}", number % 5)).await;
                let id = number.to_string();
                index.upsert(&[Chunk::new(&id, "a llama", vec![1.0, 0.0])]).unwrap();
            })
        });
        for request in join_all(requests).await {
            request.unwrap();
        }
        let mut found = 0;
        for number in 0..5 {
            found += index(&indexes, &format!("db-{number}")).await.len();
        }
        assert_eq!(found, 64);
    }
}
