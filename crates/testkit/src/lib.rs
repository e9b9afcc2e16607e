//! What tests of several crates share: scripted upstreams, certificates, waiting for conditions.
//!
//! Used by tests only. Nothing here sleeps and hopes: what takes time is waited for by name, and
//! fails with that name after [`PATIENCE`].
//!
//! ```no_run
//! # async fn test() {
//! use chaski_testkit::{Answer, FakeUpstream};
//! use serde_json::json;
//!
//! let upstream = FakeUpstream::answering(Answer::events(["{\"n\":1}", "[DONE]"]).in_pieces_of(1)).await;
//! // ... the code under test calls `upstream.url()` ...
//! assert_eq!(upstream.only_request().json()["model"], json!("m"));
//! # }
//! ```

mod answer;
mod certificate;
mod inside;
mod raw;
mod upstream;
mod wait;

pub use answer::{Answer, Gate};
pub use certificate::{Certificate, certificate};
pub use inside::INSIDE;
pub use raw::{Act, RawUpstream};
pub use upstream::{FakeUpstream, Seen};
pub use wait::{PATIENCE, eventually, eventually_some, within};
