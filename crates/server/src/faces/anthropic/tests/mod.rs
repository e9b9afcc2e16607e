//! From one form to the other.

mod answers;
mod requests;
mod streams;
