//! The thread of the one who writes.

use chaski_api::{Error, Result};
use std::thread;
use tokio::runtime::Builder;

/// Runs `work` to its end on a thread of its own, behind those that requests wait for: what is to be
/// done with many spans at once takes milliseconds.
///
/// # Errors
/// The system has no thread left.
pub(super) fn run(work: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let failed = |error| Error::internal("telemetry has no thread").caused_by(error);
    let runtime = Builder::new_current_thread().enable_time().build().map_err(failed)?;
    let named = thread::Builder::new().name("telemetry".to_owned());
    let started = named.spawn(move || {
        chaski_store::in_background();
        runtime.block_on(work);
    });
    started.map(drop).map_err(failed)
}
