//! The provider against scripted servers.

mod failures;
mod guard;
mod sessions;
mod support;
