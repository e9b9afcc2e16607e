//! What the spans of a block have in common. Most requests are like the others, so that a few shapes
//! with the values that are always the same leave little to be written for each span.

use super::records::{Facts, StoredSpan};
use chaski_provider::Attribute;

/// Spans with the same name, attributes of the same names, and the same end.
pub(super) struct Shape<'a> {
    /// The first of them.
    pub(super) first: &'a StoredSpan,
    /// For each attribute, whether all of them have the value of the first.
    constant: Vec<bool>,
}

/// The shapes of spans, and the place of each span's shape.
pub(super) fn of<'a>(spans: impl Iterator<Item = &'a StoredSpan>) -> (Vec<Shape<'a>>, Vec<usize>) {
    let mut shapes: Vec<Shape<'a>> = Vec::new();
    let places = spans.map(|span| {
        if let Some(place) = shapes.iter().position(|shape| alike(shape.first, span)) {
            shapes[place].add(span);
            return place;
        }
        shapes.push(Shape { first: span, constant: vec![true; own(span).len()] });
        shapes.len() - 1
    });
    let places = places.collect();
    (shapes, places)
}

impl<'a> Shape<'a> {
    fn add(&mut self, span: &StoredSpan) {
        let values = own(self.first).iter().zip(own(span));
        for (constant, ((_, first), (_, value))) in self.constant.iter_mut().zip(values) {
            *constant = *constant && first == value;
        }
    }

    /// The attributes, with the value that all spans have if there is one.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&'static str, Option<&'a Attribute>)> {
        let facts = own(self.first).iter().zip(&self.constant);
        facts.map(|((name, value), constant)| (*name, constant.then_some(value)))
    }

    /// The values of this span that not all spans have.
    pub(super) fn varying<'b>(&self, span: &'b StoredSpan) -> impl Iterator<Item = &'b Attribute> {
        let facts = own(span).iter().zip(&self.constant);
        facts.filter(|(_, constant)| !**constant).map(|((_, value), _)| value)
    }
}

/// How long a span is kept after its end, in microseconds.
pub(super) fn kept(span: &StoredSpan) -> i64 {
    span.expires.wrapping_sub(span.end)
}

fn own(span: &StoredSpan) -> &[(&'static str, Attribute)] {
    match &span.attributes {
        Facts::Own(facts) => facts,
        Facts::Any(_) => &[],
    }
}

fn alike(one: &StoredSpan, other: &StoredSpan) -> bool {
    let names = |span| own(span).iter().map(|(name, _)| *name);
    let is_any = |span: &StoredSpan| matches!(span.attributes, Facts::Any(_));
    one.is_root == other.is_root
        && one.status == other.status
        && kept(one) == kept(other)
        && is_any(one) == is_any(other)
        && one.name == other.name
        && own(one).len() == own(other).len()
        && names(one).eq(names(other))
}
