//! Waiting for a condition, with a name and an end.

use std::{future::Future, time::Duration};

/// How long a test waits for something that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

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
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
