//! Collections of a database server are opened one by one, each once.

use super::contract::named;
use crate::remote::{Remote, Store, Which};
use async_trait::async_trait;
use chaski_api::{
    Error, Result,
    retrieval::{Filter, SearchMode, VectorDb},
};
use chaski_provider::{ChunkPage, Context, EmbeddedChunk, ScoredChunk, VectorIo};
use chaski_testkit::eventually;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Semaphore;

/// A database with a collection that opens when it is let, as often as there are permits.
struct Slow {
    gate: Arc<Semaphore>,
    opened: Arc<AtomicUsize>,
}

#[async_trait]
impl Remote for Slow {
    type Collection = String;
    type Condition = ();

    const MODES: &'static [SearchMode] = &[SearchMode::Vector];

    fn name(&self, db: &VectorDb) -> String {
        db.identifier.clone()
    }

    fn condition(&self, _: Option<&Filter>) -> Result<()> {
        Ok(())
    }

    async fn open(&self, _: &Context, _: &VectorDb, name: &str) -> Result<String> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        if name == "slow" {
            self.gate.acquire().await.map_err(|_| Error::unavailable("it is closed"))?.forget();
        }
        Ok(name.to_owned())
    }

    async fn drop(&self, _: &Context, _: &str) -> Result<()> {
        Ok(())
    }

    async fn sweep(&self, _: &Context, _: &String) -> Result<()> {
        Ok(())
    }

    async fn insert(&self, _: &Context, _: &String, _: Arc<Vec<EmbeddedChunk>>) -> Result<()> {
        Ok(())
    }

    async fn by_vector(
        &self,
        _: &Context,
        _: &String,
        _: &[f32],
        (): &(),
        _: usize,
    ) -> Result<Vec<ScoredChunk>> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &Context, _: &String, _: &Which<'_, ()>) -> Result<()> {
        Ok(())
    }

    async fn page(
        &self,
        _: &Context,
        found: &String,
        (): &(),
        _: Option<&str>,
        _: usize,
    ) -> Result<ChunkPage> {
        Ok(ChunkPage { chunks: Vec::new(), next: Some(found.clone()) })
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }
}

struct World {
    store: Arc<Store<Slow>>,
    gate: Arc<Semaphore>,
    opened: Arc<AtomicUsize>,
}

impl World {
    fn new() -> Self {
        let (gate, opened) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let remote = Slow { gate: Arc::clone(&gate), opened: Arc::clone(&opened) };
        Self { store: Arc::new(Store::new(remote)), gate, opened }
    }

    /// Begins to ask for what is in a collection; the answer names it.
    fn ask(&self, name: &'static str) -> tokio::task::JoinHandle<Result<Option<String>>> {
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            let page = store.list(&Context::default(), &named(name, 3), None, None, 9).await;
            page.map(|page| page.next)
        })
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_collection_that_takes_long_to_open_holds_up_no_other_one() {
    let world = World::new();
    let slow = [world.ask("slow"), world.ask("slow")];
    eventually("the beginning", || world.opened() == 1).await;
    let quick = world.ask("quick").await.unwrap().unwrap();
    assert_eq!(quick.as_deref(), Some("quick"));
    assert!(slow.iter().all(|asked| !asked.is_finished()));
    world.gate.add_permits(1);
    for asked in slow {
        assert_eq!(asked.await.unwrap().unwrap().as_deref(), Some("slow"));
    }
    assert_eq!(world.opened(), 2, "each was opened once");
}

#[tokio::test]
async fn who_waits_opens_it_when_the_first_one_gives_up() {
    let world = World::new();
    let first = world.ask("slow");
    eventually("the first attempt", || world.opened() == 1).await;
    let second = world.ask("slow");
    first.abort();
    eventually("the second attempt", || world.opened() == 2).await;
    world.gate.close();
    assert_eq!(second.await.unwrap().unwrap_err().message, "it is closed");
    // A failure is not remembered.
    assert!(world.ask("slow").await.unwrap().is_err());
    assert_eq!(world.opened(), 3);
}
