//! The providers of telemetry, one folder each, and their table.

mod meta_reference;

use chaski_provider::{Entry, TelemetryProvider};

/// All providers of telemetry of this build.
pub const ALL: &[Entry<dyn TelemetryProvider>] = &[Entry::of::<meta_reference::MetaReference>()];
