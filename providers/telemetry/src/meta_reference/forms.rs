//! How blocks are read: as they are written now, and as earlier versions wrote them.

use super::{
    ids::{SpanId, TraceId},
    records::{Facts, Part, StoredBlock, StoredEvent, StoredSpan},
};
use chaski_api::telemetry::SpanStatus;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The text of a block.
#[derive(Deserialize)]
pub(super) struct Form {
    id: String,
    service: String,
    /// Earlier versions wrote each span with all it has.
    #[serde(default)]
    parts: Vec<Part>,
    #[serde(default)]
    shapes: Vec<ShapeForm>,
    #[serde(default)]
    traces: Vec<PartForm>,
}

/// What spans have in common: a list of these values.
#[derive(Deserialize)]
struct ShapeForm {
    name: Cow<'static, str>,
    is_root: bool,
    status: SpanStatus,
    /// How long they are kept after their end, in microseconds.
    kept: i64,
    /// None where each span has an object of all its attributes.
    attributes: Option<Vec<AttributeForm>>,
}

/// An attribute of a shape: its name, and its value if all spans have the same.
#[derive(Deserialize)]
struct AttributeForm {
    name: String,
    #[serde(default)]
    constant: Option<Value>,
}

/// Spans of one trace: a list of these values.
#[derive(Deserialize)]
struct PartForm {
    trace: TraceId,
    created: i64,
    spans: Vec<SpanForm>,
}

/// What a span has for itself: a list of these values, of which the last may be left out.
#[derive(Deserialize)]
struct SpanForm {
    shape: usize,
    id: SpanId,
    parent: Option<Parent>,
    /// After the time of the part, in microseconds.
    start: i64,
    /// In microseconds.
    took: i64,
    values: Vec<Value>,
    #[serde(default)]
    events: Vec<StoredEvent>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Parent {
    /// The span at this place of the same part.
    Place(usize),
    Id(SpanId),
}

/// What a block names and does not have.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("a span has the shape {0}, which is not there")]
    Shape(usize),
    #[error("a span has other values than its shape has attributes")]
    Values,
    #[error("a span has the parent at {0}, which is not there")]
    Parent(usize),
}

impl TryFrom<Form> for StoredBlock {
    type Error = Damage;

    fn try_from(form: Form) -> Result<Self, Damage> {
        let mut parts = form.parts;
        for PartForm { trace, created, spans } in form.traces {
            let ids: Vec<SpanId> = spans.iter().map(|span| span.id.clone()).collect();
            let spans = spans.into_iter().map(|span| whole(span, created, &form.shapes, &ids));
            parts.push(Part { trace, created, spans: spans.collect::<Result<_, _>>()? });
        }
        Ok(Self { id: form.id, service: form.service, parts })
    }
}

/// The span, with what it has in common with others.
fn whole(
    span: SpanForm,
    created: i64,
    shapes: &[ShapeForm],
    ids: &[SpanId],
) -> Result<StoredSpan, Damage> {
    let shape = shapes.get(span.shape).ok_or(Damage::Shape(span.shape))?;
    let parent = match span.parent {
        None => None,
        Some(Parent::Id(id)) => Some(id),
        Some(Parent::Place(place)) => Some(ids.get(place).ok_or(Damage::Parent(place))?.clone()),
    };
    let attributes = match &shape.attributes {
        Some(attributes) => filled(attributes, span.values)?,
        None => match <[Value; 1]>::try_from(span.values) {
            Ok([Value::Object(attributes)]) => attributes,
            Ok(_) | Err(_) => return Err(Damage::Values),
        },
    };
    let start = created.wrapping_add(span.start);
    let end = start.wrapping_add(span.took);
    Ok(StoredSpan {
        id: span.id,
        parent,
        is_root: shape.is_root,
        name: shape.name.clone(),
        start,
        end,
        status: shape.status,
        attributes: Facts::Any(attributes),
        events: span.events,
        expires: end.wrapping_add(shape.kept),
    })
}

/// The attributes of a shape, with the values of a span for those that have no constant one.
fn filled(shape: &[AttributeForm], values: Vec<Value>) -> Result<Map<String, Value>, Damage> {
    let mut values = values.into_iter();
    let attributes = shape.iter().map(|AttributeForm { name, constant }| {
        let value = constant.clone().or_else(|| values.next()).ok_or(Damage::Values)?;
        Ok((name.clone(), value))
    });
    let attributes = attributes.collect::<Result<_, Damage>>()?;
    if values.next().is_some() { Err(Damage::Values) } else { Ok(attributes) }
}
