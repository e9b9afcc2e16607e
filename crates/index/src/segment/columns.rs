//! The metadata of a segment by field, so that a filter looks at each distinct value once.

use super::bytes::{Sink, Source};
use crate::{
    bitmap::Bitmap,
    filter::{Condition, Test, Value},
};
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, HashMap};

/// All fields that occur in a segment.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    fields: BTreeMap<Box<str>, Column>,
    rows: usize,
}

/// The values of one field.
#[derive(Debug)]
struct Column {
    /// The distinct values.
    values: Vec<Value>,
    places: Places,
}

/// Which text has which value, as a number in the list of values.
#[derive(Debug)]
enum Places {
    /// One for each text, `ABSENT` for none.
    Every(Vec<u32>),
    /// Position and value of the texts that have the field.
    Some(Vec<(u32, u32)>),
}

const ABSENT: u32 = u32::MAX;

impl Places {
    /// In the form that is smaller.
    fn new(pairs: Vec<(u32, u32)>, rows: usize) -> Self {
        if pairs.len() * 2 < rows {
            let mut pairs = pairs;
            pairs.shrink_to_fit();
            return Self::Some(pairs);
        }
        let mut every = vec![ABSENT; rows];
        for (position, value) in pairs {
            every[position as usize] = value;
        }
        Self::Every(every)
    }

    fn each(&self, mut visit: impl FnMut(u32, u32)) {
        match self {
            Self::Every(values) => {
                for (position, &value) in (0..).zip(values) {
                    if value != ABSENT {
                        visit(position, value);
                    }
                }
            }
            Self::Some(pairs) => pairs.iter().for_each(|&(position, value)| visit(position, value)),
        }
    }
}

/// A column as it is collected.
#[derive(Default)]
struct Growing {
    /// By their JSON.
    numbers: HashMap<String, u32>,
    values: Vec<Value>,
    pairs: Vec<(u32, u32)>,
}

impl Growing {
    fn number(&mut self, value: &Value) -> u32 {
        let values = &mut self.values;
        *self.numbers.entry(value.to_json().to_string()).or_insert_with(|| {
            values.push(value.clone());
            super::narrow(values.len() - 1)
        })
    }
}

/// Collects the metadata of texts.
#[derive(Default)]
pub(crate) struct Builder {
    fields: BTreeMap<Box<str>, Growing>,
}

impl Builder {
    pub(crate) fn add(&mut self, position: u32, metadata: &Map<String, Json>) {
        for (key, json) in metadata {
            let Some(value) = Value::from_json(json) else { continue };
            if !self.fields.contains_key(key.as_str()) {
                self.fields.insert(key.as_str().into(), Growing::default());
            }
            if let Some(field) = self.fields.get_mut(key.as_str()) {
                let number = field.number(&value);
                field.pairs.push((position, number));
            }
        }
    }

    pub(crate) fn finish(self, rows: usize) -> Columns {
        let column = |mut field: Growing| {
            field.values.shrink_to_fit();
            Column { values: field.values, places: Places::new(field.pairs, rows) }
        };
        let fields = self.fields.into_iter().map(|(key, field)| (key, column(field))).collect();
        Columns { fields, rows }
    }
}

impl Columns {
    /// The texts whose metadata satisfies the condition.
    pub(crate) fn select(&self, condition: &Condition) -> Bitmap {
        match condition {
            Condition::Field { key, test, negated } => {
                let mut found = self.test(key, test);
                if *negated {
                    found.invert();
                }
                found
            }
            Condition::All(parts) => {
                let mut found = Bitmap::all(self.rows);
                for part in parts {
                    found.intersect(&self.select(part));
                }
                found
            }
            Condition::Any(parts) => {
                let mut found = Bitmap::none(self.rows);
                for part in parts {
                    found.unite(&self.select(part));
                }
                found
            }
        }
    }

    fn test(&self, key: &str, test: &Test) -> Bitmap {
        let mut found = Bitmap::none(self.rows);
        let Some(column) = self.fields.get(key) else { return found };
        let accepted: Vec<bool> = column.values.iter().map(|value| test.accepts(value)).collect();
        if accepted.contains(&true) {
            column.places.each(|position, value| {
                if accepted[value as usize] {
                    found.insert(position as usize);
                }
            });
        }
        found
    }

    /// The columns of several segments as those of one; see `Postings::merge`.
    pub(crate) fn merge(parts: &[(&Self, &[Option<u32>])], rows: usize) -> Self {
        let mut merged = Builder::default();
        for (part, places) in parts {
            for (key, column) in &part.fields {
                let field = merged.fields.entry(key.clone()).or_default();
                let mut numbers = vec![ABSENT; column.values.len()];
                column.places.each(|position, value| {
                    let Some(place) = places[position as usize] else { return };
                    let number = &mut numbers[value as usize];
                    if *number == ABSENT {
                        *number = field.number(&column.values[value as usize]);
                    }
                    field.pairs.push((place, *number));
                });
            }
        }
        merged.fields.retain(|_, field| !field.pairs.is_empty());
        merged.finish(rows)
    }

    pub(crate) fn memory(&self) -> usize {
        let value = |value: &Value| {
            let heap = match value {
                Value::Text(text) => text.len() + 16,
                Value::List(values) => values.len() * 48,
                Value::Bool(_) | Value::Number(_) => 0,
            };
            size_of::<Value>() + heap
        };
        let column = |column: &Column| {
            let places = match &column.places {
                Places::Every(list) => list.capacity() * 4,
                Places::Some(list) => list.capacity() * 8,
            };
            places + column.values.iter().map(value).sum::<usize>()
        };
        self.fields.iter().map(|(key, field)| key.len() + 96 + column(field)).sum()
    }

    pub(crate) fn write(&self, sink: &mut Sink) {
        sink.number(self.fields.len());
        for (key, column) in &self.fields {
            sink.bytes(key.as_bytes());
            let values: Vec<Json> = column.values.iter().map(Value::to_json).collect();
            sink.bytes(Json::from(values).to_string().as_bytes());
            let mut pairs = Vec::new();
            column.places.each(|position, value| pairs.push((position, value)));
            sink.list(&pairs);
        }
    }

    /// Of a segment of so many texts.
    pub(crate) fn read(source: &mut Source<'_>, rows: usize) -> Option<Self> {
        let mut fields = BTreeMap::new();
        for _ in 0..source.number()? {
            let key = source.text()?.into();
            let values: Vec<Json> = serde_json::from_slice(source.bytes()?).ok()?;
            let values: Vec<Value> = values.iter().map(Value::from_json).collect::<Option<_>>()?;
            let pairs: Vec<(u32, u32)> = source.list()?;
            let within = |&(position, value): &(u32, u32)| {
                (position as usize) < rows && (value as usize) < values.len()
            };
            if !pairs.iter().all(within) {
                return None;
            }
            fields.insert(key, Column { values, places: Places::new(pairs, rows) });
        }
        Some(Self { fields, rows })
    }
}
