//! Threads for work that computes.

use chaski_api::{Error, Result};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Threads that compute, so that the network threads never do. Clones share them.
#[derive(Clone, Debug)]
pub struct Cpu(Arc<Semaphore>);

impl Cpu {
    /// At most `threads` pieces of work run at one time; the others wait for their turn.
    pub fn new(threads: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads.max(1))))
    }

    /// Runs `work`. It goes on to its end when the caller leaves.
    ///
    /// # Errors
    /// `Internal` if it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let failed = |why: &str| Error::internal(format!("work on a thread {why}"));
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(|_| failed("was refused"))?;
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| failed("panicked").caused_by(error))
    }
}

#[cfg(test)]
mod tests {
    use super::Cpu;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_runs_than_there_are_threads() {
        let cpu = Cpu::new(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let works = (0..16).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            cpu.run(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        });
        futures_util::future::join_all(works).await;
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_gives_the_thread_back() {
        let cpu = Cpu::new(1);
        assert!(cpu.run(|| panic!("as work might")).await.is_err());
        assert_eq!(cpu.run(|| 5).await.unwrap(), 5);
    }
}
