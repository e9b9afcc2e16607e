//! Who uses a loaded model, so that it is unloaded only when nobody does.

use std::sync::Arc;
use tokio::sync::watch;

/// One use of a model. Clones are further uses.
pub(crate) struct Lease(Arc<watch::Sender<usize>>);

impl Lease {
    /// The first use.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(1)))
    }

    /// Whether there are other uses.
    pub(crate) fn shared(&self) -> bool {
        *self.0.borrow() > 1
    }

    /// Ready when there is no other use.
    pub(crate) fn alone(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut uses = self.0.subscribe();
        // An error says that there is no use at all.
        async move { _ = uses.wait_for(|uses| *uses <= 1).await }
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        self.0.send_modify(|uses| *uses += 1);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.send_modify(|uses| *uses -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lease_is_alone_when_the_others_are_dropped() {
        let lease = Lease::new();
        assert!(!lease.shared());
        let other = lease.clone();
        assert!(lease.shared());
        let waiting = tokio::spawn(lease.alone());
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(other);
        waiting.await.unwrap();
        assert!(!lease.shared());
    }
}
