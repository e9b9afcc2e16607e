//! Values that are told apart by their form: a tag may be left out, and the first form that fits is
//! taken.

use super::{Reader, Schemas, Wire};
use serde::Serialize;
use serde_json::Value;

/// Reads a value as one form of several.
pub type ReadForm<T> = fn(Value, &mut Reader) -> Option<T>;

/// The value in the first of these forms that fits; if none does, the problems of each under its
/// name, as the reference reports them.
pub fn first_form<T>(
    value: &Value,
    reader: &mut Reader,
    forms: &[(&'static str, ReadForm<T>)],
) -> Option<T> {
    let mark = reader.mark();
    let mut problems = Vec::new();
    for (name, read) in forms {
        let found = reader.key(*name, |reader| read(value.clone(), reader));
        let issues = reader.take_since(mark);
        if issues.is_empty() && found.is_some() {
            return found;
        }
        problems.extend(issues);
    }
    reader.restore(problems);
    None
}

/// A constant, whose absence of form is reported as the reference does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Tag<T>(pub T);

impl<T: Wire> Wire for Tag<T> {
    fn read(value: Value, reader: &mut Reader) -> Option<Self> {
        let mark = reader.mark();
        let tag = T::read(value, reader);
        let mut issues = reader.take_since(mark);
        for issue in &mut issues {
            issue.kind = "literal_error";
        }
        reader.restore(issues);
        tag.map(Self)
    }

    fn schema(schemas: &mut Schemas) -> Value {
        T::schema(schemas)
    }
}
