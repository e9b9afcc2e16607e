//! How JSON becomes values: one declaration gives the type, its reader, its schema and its docs.
//!
//! The reader follows the rules and the messages of Pydantic 2 in its lax mode (numeric strings
//! become numbers, `"yes"` becomes `true`, unknown keys are ignored), because clients of the
//! reference see them. All problems are collected, each with its path.

mod collections;
mod declare;
mod forms;
mod reader;
mod scalars;
mod schema;
#[cfg(test)]
mod tests;
mod time;

pub use collections::Dict;
pub use declare::alternatives;
pub use forms::{ReadForm, Tag, first_form};
pub use reader::Reader;
pub use scalars::{Above, AtLeast, AtLeastNumber, Between, Secret};
pub use schema::Schemas;
pub use time::Time;

use crate::{error::Issue, openai::Body};
use serde::Serialize;
use serde_json::Value;

/// A type that can be read from JSON and described as a JSON schema.
pub trait Wire: Sized + Serialize {
    /// Reads the value, or reports what is wrong with it and gives nothing.
    fn read(value: Value, reader: &mut Reader) -> Option<Self>;

    /// Reads the body of a request. Types that keep what they do not look at leave it undecoded.
    fn read_body(body: Body, reader: &mut Reader) -> Option<Self> {
        Self::read(body.into(), reader)
    }

    /// The JSON schema (draft 2020-12); named types are put into `schemas` and referred to.
    fn schema(schemas: &mut Schemas) -> Value;

    /// What an absent field of this type means; nothing where the field is required.
    fn absent() -> Option<Self> {
        None
    }

    /// Reads a whole document.
    fn from_json(value: Value) -> Result<Self, Vec<Issue>> {
        let mut reader = Reader::default();
        let read = Self::read(value, &mut reader);
        reader.finish(read)
    }
}
