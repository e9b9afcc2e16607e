//! In-process tests of the whole server.
