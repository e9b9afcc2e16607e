use super::*;
use crate::{
    bitmap::Bitmap,
    segment::{Columns, ColumnsBuilder, mix},
};
use std::cmp::Ordering::{Equal, Greater, Less};

/// Numbers that look like chance and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        usize::try_from(mix(self.0) % sides as u64).unwrap()
    }

    fn scalar(&mut self) -> Json {
        match self.roll(6) {
            0 => json!(self.roll(2) == 0),
            1 | 2 => json!(self.roll(5)),
            3 => json!([0.0, 0.5, 1.0, 1.5, 2.0, 3.5][self.roll(6)]),
            _ => json!(["a", "b", "é", ""][self.roll(4)]),
        }
    }

    fn value(&mut self) -> Json {
        match self.roll(8) {
            0 => (0..self.roll(4)).map(|_| self.scalar()).collect(),
            1 => Json::Null,
            2 => json!({"nested": 1}),
            _ => self.scalar(),
        }
    }

    fn metadata(&mut self) -> Map<String, Json> {
        let mut metadata = Map::new();
        for key in ["x", "y", "z"] {
            if self.roll(3) > 0 {
                metadata.insert(key.to_owned(), self.value());
            }
        }
        metadata
    }

    fn filter(&mut self, depth: usize) -> Filter {
        let key = ["x", "y", "z", "other"][self.roll(4)].to_owned();
        let ordered = |dice: &mut Self| loop {
            let value = dice.scalar();
            if !value.is_boolean() {
                break value;
            }
        };
        match self.roll(if depth == 0 { 8 } else { 11 }) {
            0 => Filter::Eq(key, self.scalar()),
            1 => Filter::Ne(key, self.scalar()),
            2 => Filter::Gt(key, ordered(self)),
            3 => Filter::Gte(key, ordered(self)),
            4 => Filter::Lt(key, ordered(self)),
            5 => Filter::Lte(key, ordered(self)),
            6 => Filter::In(key, (0..self.roll(4)).map(|_| self.scalar()).collect()),
            7 => Filter::Nin(key, (0..self.roll(4)).map(|_| self.scalar()).collect()),
            8 => Filter::And((0..self.roll(4)).map(|_| self.filter(depth - 1)).collect()),
            _ => Filter::Or((0..self.roll(4)).map(|_| self.filter(depth - 1)).collect()),
        }
    }
}

/// The meaning of a filter, written without regard to speed or to the code above.
fn naive(filter: &Filter, metadata: &Map<String, Json>) -> bool {
    let any = |key: &str, test: &dyn Fn(&Json) -> bool| match metadata.get(key) {
        Some(Json::Array(elements)) => elements.iter().any(test),
        Some(value) => test(value),
        None => false,
    };
    let same = |one: &Json, other: &Json| {
        one == other || (one.is_number() && one.as_f64() == other.as_f64())
    };
    let ordered = |key: &str, bound: &Json, wanted: &[Ordering]| {
        any(key, &|value| {
            let ordering = match (value, bound) {
                (Json::Number(one), Json::Number(other)) => {
                    one.as_f64().unwrap().partial_cmp(&other.as_f64().unwrap())
                }
                (Json::String(one), Json::String(other)) => Some(one.cmp(other)),
                _ => None,
            };
            ordering.is_some_and(|ordering| wanted.contains(&ordering))
        })
    };
    match filter {
        Filter::Eq(key, wanted) => any(key, &|value| same(value, wanted)),
        Filter::Ne(key, wanted) => !any(key, &|value| same(value, wanted)),
        Filter::In(key, list) => any(key, &|value| list.iter().any(|wanted| same(value, wanted))),
        Filter::Nin(key, list) => !any(key, &|value| list.iter().any(|wanted| same(value, wanted))),
        Filter::Gt(key, bound) => ordered(key, bound, &[Greater]),
        Filter::Gte(key, bound) => ordered(key, bound, &[Greater, Equal]),
        Filter::Lt(key, bound) => ordered(key, bound, &[Less]),
        Filter::Lte(key, bound) => ordered(key, bound, &[Less, Equal]),
        Filter::And(parts) => parts.iter().all(|part| naive(part, metadata)),
        Filter::Or(parts) => parts.iter().any(|part| naive(part, metadata)),
    }
}

fn columns(all: &[Map<String, Json>]) -> Columns {
    let mut builder = ColumnsBuilder::default();
    for (position, metadata) in (0..).zip(all) {
        builder.add(position, metadata);
    }
    builder.finish(all.len())
}

#[test]
fn every_way_to_apply_a_filter_agrees_with_its_meaning() {
    let mut dice = Dice(7);
    for round in 0..60 {
        let all: Vec<_> = (0..=dice.roll(80)).map(|_| dice.metadata()).collect();
        let whole = columns(&all);
        let middle = all.len() / 2;
        let places: Vec<Vec<Option<u32>>> = vec![
            (0..middle).map(|place| u32::try_from(place).ok()).collect(),
            (middle..all.len()).map(|place| u32::try_from(place).ok()).collect(),
        ];
        let halves = [columns(&all[..middle]), columns(&all[middle..])];
        let merged = Columns::merge(
            &[(&halves[0], &places[0][..]), (&halves[1], &places[1][..])],
            all.len(),
        );
        for _ in 0..60 {
            let filter = dice.filter(3);
            let mut expected = Bitmap::none(all.len());
            for (position, metadata) in all.iter().enumerate() {
                let answer = naive(&filter, metadata);
                assert_eq!(filter.matches(metadata).unwrap(), answer, "{filter:?} {metadata:?}");
                if answer {
                    expected.insert(position);
                }
            }
            let condition = filter.compile().unwrap();
            assert_eq!(whole.select(&condition), expected, "{round}: {filter:?}");
            assert_eq!(merged.select(&condition), expected, "{round}: {filter:?}");
            assert_eq!(Filter::from_json(&filter.to_json()).unwrap(), filter);
        }
    }
}

#[test]
fn large_integers_are_compared_exactly() {
    let large = 9_007_199_254_740_993_u64;
    let mut metadata = Map::new();
    metadata.insert("n".to_owned(), json!(large));
    assert!(Filter::eq("n", large).matches(&metadata).unwrap());
    assert!(!Filter::eq("n", large - 1).matches(&metadata).unwrap());
    assert!(Filter::Gt("n".into(), json!(large - 1)).matches(&metadata).unwrap());
}

fn refused(json: &Json, part: &str) {
    let error = Filter::from_json(json).unwrap_err().to_string();
    assert!(error.contains(part), "{error}");
}

#[test]
fn filters_of_another_form_are_refused_with_their_place() {
    refused(&json!(7), "filter: `type` is missing in `7`");
    refused(&json!({"type": 1}), "the type `1` is not a text");
    refused(&json!({"type": "like", "key": "a", "value": "b"}), "use one of `eq`, `ne`");
    refused(&json!({"type": "eq", "value": "b"}), "`key` is missing");
    refused(&json!({"type": "eq", "key": 1, "value": "b"}), "`key` is not a text");
    refused(&json!({"type": "in", "key": "a", "value": "b"}), "`in` needs a list, not `\"b\"`");
    refused(&json!({"type": "eq", "key": "a", "value": null}), "`null`");
    refused(&json!({"type": "gt", "key": "a", "value": true}), "booleans have no order");
    let nested = json!({"type": "and", "filters": [{"type": "eq", "key": "a", "value": 1}, 2]});
    refused(&nested, "filter.filters[1]: ");
}

#[test]
fn filters_beyond_the_limits_are_refused() {
    let mut deep = Filter::eq("a", 1);
    for _ in 0..MAX_DEPTH {
        deep = Filter::And(vec![deep]);
    }
    assert!(deep.compile().is_ok());
    let deep = Filter::Or(vec![deep]);
    assert!(deep.compile().unwrap_err().to_string().contains("deep"));
    refused(&deep.to_json(), "deep");
    let wide = Filter::In("a".into(), vec![json!(1); MAX_SIZE]);
    assert!(wide.compile().unwrap_err().to_string().contains("1024"));
}
