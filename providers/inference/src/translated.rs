//! Answers of upstreams that are translated as they come.

use chaski_api::Result;
use futures_util::{Stream, stream};
use std::collections::VecDeque;

/// The answer of an upstream, as far as it was read.
pub(crate) trait Source: Send + 'static {
    type Event: Send + 'static;

    /// Reads on until there is something to translate, and puts what becomes of it, which may be
    /// nothing, into `ready`. Says whether that was the end.
    ///
    /// # Errors
    /// Those of the upstream; nothing is read after one.
    fn read(
        &mut self,
        ready: &mut VecDeque<Self::Event>,
    ) -> impl Future<Output = Result<bool>> + Send;
}

struct Progress<S: Source> {
    source: S,
    ready: VecDeque<S::Event>,
    over: bool,
}

impl<S: Source> Progress<S> {
    async fn next(&mut self) -> Result<Option<S::Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.over {
                return Ok(None);
            }
            let read = self.source.read(&mut self.ready).await;
            self.over = !matches!(read, Ok(false));
            if read.is_err() {
                self.ready.clear();
            }
            read?;
        }
    }
}

/// The events; an error is the last one.
pub(crate) fn events<S: Source>(source: S) -> impl Stream<Item = Result<S::Event>> + Send {
    let progress = Progress { source, ready: VecDeque::new(), over: false };
    stream::unfold(progress, |mut progress| async move {
        let event = progress.next().await.transpose()?;
        Some((event, progress))
    })
}
