//! Thoughts that a model wants back as it gave them.

use chaski_api::{Error, ErrorKind, Result};

/// The most bytes of thoughts that wait for their signature.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// # Errors
/// `Upstream` if so many bytes of thoughts of the provider called `name` are too many to wait for
/// their signature.
pub(crate) fn check_length(bytes: usize, name: &str) -> Result<()> {
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    let message = format!("{name} sent thoughts of more than {MOST_BYTES} bytes");
    Err(Error::new(ErrorKind::Upstream { status: None }, message))
}
