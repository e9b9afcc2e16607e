//! The text of a block: JSON, written by hand. There are some spans for each request, and a general
//! encoder takes longer for them than the database does.
//!
//! Parts and spans are lists of values in the order of their fields, which is how they are read too.

use super::{
    ids::Id,
    records::{Facts, Part, StoredBlock, StoredSpan},
};
use chaski_api::telemetry::SpanStatus;
use chaski_provider::Attribute;
use serde::Serialize;
use uuid::fmt::Simple;

/// What a span has beside its texts, in bytes: ids, times, and signs of JSON.
const FIXED: usize = 160;

/// The JSON text of a block.
pub(super) fn of(block: &StoredBlock) -> String {
    let spans = block.parts.iter().flat_map(|part| &part.spans);
    let size: usize = spans.map(|span| FIXED + span.size()).sum();
    let mut text = Text(String::with_capacity(FIXED + size));
    text.sign("{\"id\":").string(&block.id).sign(",\"service\":").string(&block.service);
    text.sign(",\"parts\":").list(&block.parts, Text::part).sign("}");
    text.0
}

struct Text(String);

impl Text {
    fn sign(&mut self, sign: &str) -> &mut Self {
        self.0.push_str(sign);
        self
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) -> &mut Self {
        self.sign("[");
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                self.sign(",");
            }
            write(self, item);
        }
        self.sign("]")
    }

    fn part(&mut self, part: &Part) {
        self.sign("[").id(&part.trace).sign(",").number(part.created).sign(",");
        self.list(&part.spans, Self::span).sign("]");
    }

    fn span(&mut self, span: &StoredSpan) {
        self.sign("[").id(&span.id).sign(",");
        match &span.parent {
            Some(parent) => self.id(parent),
            None => self.sign("null"),
        };
        self.sign(",").truth(span.is_root).sign(",").string(&span.name).sign(",");
        self.number(span.start).sign(",").number(span.end);
        self.sign(match span.status {
            SpanStatus::Ok => ",\"ok\",",
            SpanStatus::Error => ",\"error\",",
        });
        self.facts(&span.attributes).sign(",");
        self.list(&span.events, |text, event| _ = text.any(event));
        self.sign(",").number(span.expires).sign("]");
    }

    fn facts(&mut self, facts: &Facts) -> &mut Self {
        // The names are words of this program.
        let facts = match facts {
            Facts::Own(facts) => facts,
            Facts::Any(facts) => return self.any(facts),
        };
        for (place, (name, value)) in facts.iter().enumerate() {
            self.sign(if place > 0 { ",\"" } else { "{\"" }).sign(name).sign("\":");
            match value {
                Attribute::Text(text) => self.string(text),
                Attribute::Integer(number) => self.number(*number),
                Attribute::Truth(truth) => self.truth(*truth),
            };
        }
        self.sign(if facts.is_empty() { "{}" } else { "}" })
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

    fn number(&mut self, number: i64) -> &mut Self {
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
