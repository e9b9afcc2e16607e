//! The text of a block: JSON, written by hand. There are some spans for each request, and a general
//! encoder takes longer for them than the database does.
//!
//! What spans have in common is written once, and all else in lists of values without names, so that
//! the disk has less to do. `forms` reads it.

use super::{
    ids::Id,
    records::{Facts, Part, StoredBlock, StoredSpan},
    shapes::{self, Shape},
};
use chaski_api::telemetry::SpanStatus;
use chaski_provider::Attribute;
use serde::Serialize;
use uuid::fmt::Simple;

/// About the size of a span and of a shape, in bytes.
const SPAN: usize = 96;
const SHAPE: usize = 256;

/// The JSON text of a block.
pub(super) fn of(block: &StoredBlock) -> String {
    let spans = || block.parts.iter().flat_map(|part| &part.spans);
    let (shapes, places) = shapes::of(spans());
    let size = SHAPE * (1 + shapes.len()) + (SPAN * places.len());
    let mut text = Text(String::with_capacity(size));
    text.sign("{\"id\":").string(&block.id).sign(",\"service\":").string(&block.service);
    text.sign(",\"shapes\":").list(&shapes, Text::shape);
    let mut places = places.into_iter();
    text.sign(",\"traces\":")
        .list(&block.parts, |text, part| text.part(part, &shapes, &mut places));
    text.sign("}");
    text.0
}

struct Text(String);

impl Text {
    fn sign(&mut self, sign: &str) -> &mut Self {
        self.0.push_str(sign);
        self
    }

    fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.sign("[");
        for (place, item) in items.into_iter().enumerate() {
            if place > 0 {
                self.sign(",");
            }
            write(self, item);
        }
        self.sign("]")
    }

    fn shape(&mut self, shape: &Shape<'_>) {
        let span = shape.first;
        self.sign("[").string(&span.name).sign(",").truth(span.is_root);
        self.sign(match span.status {
            SpanStatus::Ok => ",\"ok\",",
            SpanStatus::Error => ",\"error\",",
        });
        self.number(shapes::kept(span)).sign(",");
        match &span.attributes {
            Facts::Own(_) => self.list(shape.attributes(), |text, (name, constant)| {
                // The names are words of this program.
                text.sign("[\"").sign(name).sign("\"");
                if let Some(value) = constant {
                    text.sign(",").value(value);
                }
                text.sign("]");
            }),
            Facts::Any(_) => self.sign("null"),
        };
        self.sign("]");
    }

    /// The part, whose spans have the next of `places` among `shapes`.
    fn part(
        &mut self,
        part: &Part,
        shapes: &[Shape<'_>],
        places: &mut impl Iterator<Item = usize>,
    ) {
        self.sign("[").id(&part.trace).sign(",").number(part.created).sign(",");
        self.list(part.spans.iter().zip(places), |text, (span, place)| {
            text.sign("[").number(place).sign(",").id(&span.id).sign(",");
            text.parent(span, part).sign(",");
            text.number(span.start.wrapping_sub(part.created)).sign(",");
            text.number(span.end.wrapping_sub(span.start)).sign(",");
            match &span.attributes {
                Facts::Own(_) => text.list(shapes[place].varying(span), |text, value| {
                    text.value(value);
                }),
                Facts::Any(facts) => text.sign("[").any(facts).sign("]"),
            };
            if !span.events.is_empty() {
                text.sign(",").any(&span.events);
            }
            text.sign("]");
        });
        self.sign("]");
    }

    /// The parent of a span: its place, if it is in the same part, or its id.
    fn parent(&mut self, span: &StoredSpan, part: &Part) -> &mut Self {
        let Some(parent) = &span.parent else { return self.sign("null") };
        let is_parent = |other: &StoredSpan| other.id == *parent;
        match part.spans.iter().position(is_parent) {
            Some(place) => self.number(place),
            None => self.id(parent),
        }
    }

    fn value(&mut self, value: &Attribute) -> &mut Self {
        match value {
            Attribute::Text(text) => self.string(text),
            Attribute::Integer(number) => self.number(*number),
            Attribute::Truth(truth) => self.truth(*truth),
        }
    }

    fn id<const DIGITS: usize>(&mut self, id: &Id<DIGITS>) -> &mut Self {
        match id {
            Id::Number(number) => {
                let mut buffer = [0; Simple::LENGTH];
                self.sign("\"").sign(Id::<DIGITS>::digits(*number, &mut buffer)).sign("\"")
            }
            Id::Text(text) => self.string(text),
        }
    }

    fn truth(&mut self, truth: bool) -> &mut Self {
        self.sign(if truth { "true" } else { "false" })
    }

    fn number(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.sign(itoa::Buffer::new().format(number))
    }

    fn string(&mut self, string: &str) -> &mut Self {
        let special = |byte: &u8| matches!(byte, 0..=0x1f | b'"' | b'\\');
        // All bytes are counted, so that the processor looks at many at once.
        let plain = string.as_bytes().iter().copied().filter(special).count() == 0;
        if plain { self.sign("\"").sign(string).sign("\"") } else { self.any(string) }
    }

    /// What is rare, or has an encoder of its own.
    fn any(&mut self, value: &(impl Serialize + ?Sized)) -> &mut Self {
        let text = serde_json::to_string(value).expect("records are plain data");
        self.sign(&text)
    }
}
