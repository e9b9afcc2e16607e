//! Waiting for a condition, with a name and an end.

use std::{future::Future, time::Duration};

/// How long a test waits for something that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(2);

/// The output of `work`; fails the test if it takes longer than [`PATIENCE`].
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, work).await;
    assert!(outcome.is_ok(), "waited {PATIENCE:?} for: {what}");
    outcome.expect("checked on the line above")
}

/// Waits until `condition` holds; fails the test if it does not within [`PATIENCE`].
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(POLL).await;
        }
    })
    .await;
}

/// What `probe` finds, asked again and again until it finds something; fails the test if it does not
/// within `patience`.
pub async fn eventually_some<T>(
    patience: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    // On the heap, since what probes ask with can be large.
    let found = Box::pin(async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    });
    let outcome = tokio::time::timeout(patience, found).await;
    assert!(outcome.is_ok(), "waited {patience:?} for: {what}");
    outcome.expect("checked on the line above")
}
