//! Placeholder.

mod faces;
