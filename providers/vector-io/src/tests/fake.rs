//! What the scripted stores keep, and how they compare.

use serde_json::{Map, Value};
use std::{cmp::Ordering, collections::BTreeMap};

/// A point of a scripted store.
#[derive(Clone)]
pub(super) struct Point {
    pub(super) vector: Vec<f32>,
    /// The words of the text.
    pub(super) sparse: Vec<(u64, f64)>,
    pub(super) payload: Map<String, Value>,
}

/// A collection of a scripted store, by the ids of the points.
#[derive(Clone, Default)]
pub(super) struct Collection {
    pub(super) length: Option<usize>,
    pub(super) points: BTreeMap<String, Point>,
}

pub(super) fn numbers(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).expect("a list of numbers")
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt()
}

pub(super) fn cosine(one: &[f32], other: &[f32]) -> f64 {
    assert_eq!(one.len(), other.len(), "vectors of different lengths");
    let product: f64 =
        one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum();
    product / (length(one) * length(other))
}

/// The best `limit` of the scored points, the best first.
pub(super) fn best<'a>(
    scored: impl Iterator<Item = (&'a String, &'a Point, f64)>,
    limit: usize,
) -> Vec<(&'a String, &'a Point, f64)> {
    let mut scored: Vec<_> = scored.collect();
    scored.sort_by(|one, other| other.2.total_cmp(&one.2));
    scored.truncate(limit);
    scored
}

/// How two numbers compare; nothing if one of them is none.
pub(super) fn order(one: Option<&Value>, other: &Value) -> Option<Ordering> {
    one?.as_f64()?.partial_cmp(&other.as_f64()?)
}
