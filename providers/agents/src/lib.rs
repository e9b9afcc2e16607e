//! The providers of agents, one folder each, and their table.

mod meta_reference;

use chaski_provider::{AgentsProvider, Entry};

/// All providers of agents of this build.
pub const ALL: &[Entry<dyn AgentsProvider>] = &[Entry::of::<meta_reference::MetaReference>()];
