//! What it costs to check a value against a JSON schema, counted before the check begins.
//!
//! A schema of a few lines can refer twice to a definition that refers twice to the next one, and so
//! on: a validator that follows each reference never comes to an end. Here every reference is
//! followed once for each value, so that counting is short where validating is not.

use serde_json::{Map, Value};
use std::{collections::HashMap, ptr};

/// The most schemas of a tool, those that are referred to counted at each reference.
pub(super) const MOST_SCHEMAS: u64 = 10_000;
/// The most steps of a check.
pub(super) const MOST_STEPS: u64 = 200_000;
/// How deep schemas may be nested, references followed. Validators descend on the stack.
pub(super) const DEEPEST: u64 = 256;

/// A regular expression has to be compiled, which takes as long as this many schemas.
const PATTERN: u64 = 20;
/// Bytes of a text that are looked at in a step.
const BYTES: usize = 1024;
/// Members of a list that are looked at in a step.
const MEMBERS: usize = 16;

/// Why a schema is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Excess {
    /// It has too many schemas, or the check too many steps.
    Size,
    /// It is nested too deeply.
    Depth,
    /// It refers to itself about the same value.
    Circle,
    /// It refers to something that is not known here.
    Foreign(String),
}

/// How many schemas there are behind `schema`.
///
/// # Errors
/// It has more than [`MOST_SCHEMAS`], or cannot be counted.
pub(super) fn of_schema(schema: &Value) -> Result<u64, Excess> {
    Ok(Count::new(schema, MOST_SCHEMAS)?.weigh(schema, None, 0)?.cost)
}

/// How many steps it takes at most to check `value` against `schema`.
///
/// # Errors
/// It takes more than [`MOST_STEPS`], or cannot be counted.
pub(super) fn of_check(schema: &Value, value: &Value) -> Result<u64, Excess> {
    Ok(Count::new(schema, MOST_STEPS)?.weigh(schema, Some(value), 0)?.cost)
}

/// Stands for the names of an object, where there is a schema for these.
static NAME: Value = Value::Null;

#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    cost: u64,
    /// How many schemas are nested.
    height: u64,
}

/// The address of a schema that is referred to, and of the value that it is about.
type Visit = (usize, usize);

struct Count<'s> {
    root: &'s Value,
    most: u64,
    anchors: HashMap<&'s str, &'s Value>,
    /// What was counted; nothing yet where that is going on.
    seen: HashMap<Visit, Option<Weight>>,
}

impl<'s> Count<'s> {
    fn new(root: &'s Value, most: u64) -> Result<Self, Excess> {
        let mut anchors = HashMap::new();
        let dialect = root.get("$schema").and_then(Value::as_str).unwrap_or_default();
        let id = if dialect.contains("draft-04") { "id" } else { "$id" };
        find_anchors(root, true, id, &mut anchors)?;
        Ok(Self { root, most, anchors, seen: HashMap::new() })
    }

    /// Counts a schema about a value, or about any value.
    fn weigh(
        &mut self,
        schema: &'s Value,
        value: Option<&Value>,
        depth: u64,
    ) -> Result<Weight, Excess> {
        if depth > DEEPEST {
            return Err(Excess::Depth);
        }
        let mut sum = Sum { weight: Weight { cost: 1, height: 1 }, depth, most: self.most };
        if let Some(Value::String(text)) = value {
            sum.steps(text.len() / BYTES)?;
        }
        let Value::Object(keywords) = schema else { return Ok(sum.weight) };
        for (keyword, part) in keywords {
            match (keyword.as_str(), part) {
                ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(reference)) => {
                    sum.add(self.follow(reference, value, depth + 1)?)?;
                }
                ("allOf" | "anyOf" | "oneOf", Value::Array(parts)) => {
                    for part in parts {
                        sum.add(self.weigh(part, value, depth + 1)?)?;
                    }
                }
                ("not" | "if" | "then" | "else", part) => {
                    sum.add(self.weigh(part, value, depth + 1)?)?;
                }
                ("dependentSchemas" | "dependencies", Value::Object(parts)) => {
                    for part in parts.values() {
                        sum.add(self.weigh(part, value, depth + 1)?)?;
                    }
                }
                _ => {}
            }
        }
        // To know what is left over, all schemas about the value are asked about each child.
        if let Some(value) = value
            && ["unevaluatedItems", "unevaluatedProperties"]
                .iter()
                .any(|k| keywords.contains_key(*k))
        {
            let again = sum.weight.cost.saturating_mul(children(value).count() as u64);
            sum.add(Weight { cost: again, height: 0 })?;
        }
        self.weigh_children(keywords, value, &mut sum)?;
        Ok(sum.weight)
    }

    /// Counts the schemas that are about the children of a value, and what is not a schema.
    fn weigh_children(
        &mut self,
        keywords: &'s Map<String, Value>,
        value: Option<&Value>,
        sum: &mut Sum,
    ) -> Result<(), Excess> {
        let depth = sum.depth + 1;
        for (keyword, part) in keywords {
            match (keyword.as_str(), part) {
                ("properties", Value::Object(parts)) => match value {
                    None => {
                        for part in parts.values() {
                            sum.add(self.weigh(part, None, depth)?)?;
                        }
                    }
                    Some(value) => {
                        sum.steps(parts.len() / MEMBERS)?;
                        for (name, child) in value.as_object().into_iter().flatten() {
                            if let Some(part) = parts.get(name) {
                                sum.add(self.weigh(part, Some(child), depth)?)?;
                            }
                        }
                    }
                },
                ("patternProperties", Value::Object(parts)) => {
                    for part in parts.values() {
                        sum.add(Weight { cost: pattern(value), height: 0 })?;
                        self.weigh_each(part, value, sum)?;
                    }
                }
                ("items" | "prefixItems", Value::Array(parts)) => match value {
                    None => {
                        for part in parts {
                            sum.add(self.weigh(part, None, depth)?)?;
                        }
                    }
                    Some(value) => {
                        for (part, child) in parts.iter().zip(children(value)) {
                            sum.add(self.weigh(part, Some(child), depth)?)?;
                        }
                    }
                },
                (
                    "items"
                    | "additionalItems"
                    | "unevaluatedItems"
                    | "contains"
                    | "additionalProperties"
                    | "unevaluatedProperties",
                    part,
                ) => self.weigh_each(part, value, sum)?,
                ("propertyNames", part) => {
                    let names = value.map_or(1, |value| children(value).count() as u64);
                    let one = self.weigh(part, value.map(|_| &NAME), depth)?;
                    sum.add(Weight { cost: one.cost.saturating_mul(names), ..one })?;
                }
                ("pattern", Value::String(_)) => {
                    sum.add(Weight { cost: pattern(value), height: 0 })?;
                }
                ("enum" | "required", Value::Array(list)) => sum.steps(list.len() / MEMBERS)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Counts a schema that is about each child of a value.
    fn weigh_each(
        &mut self,
        part: &'s Value,
        value: Option<&Value>,
        sum: &mut Sum,
    ) -> Result<(), Excess> {
        let Some(value) = value else {
            return sum.add(self.weigh(part, None, sum.depth + 1)?);
        };
        for child in children(value) {
            sum.add(self.weigh(part, Some(child), sum.depth + 1)?)?;
        }
        Ok(())
    }

    /// Counts the schema that is referred to.
    fn follow(
        &mut self,
        reference: &str,
        value: Option<&Value>,
        depth: u64,
    ) -> Result<Weight, Excess> {
        let schema = self.find(reference)?;
        let visit =
            (ptr::from_ref(schema).addr(), value.map_or(0, |value| ptr::from_ref(value).addr()));
        match self.seen.get(&visit) {
            Some(Some(weight)) => return Ok(*weight),
            // A schema that is about parts of itself is counted once.
            Some(None) if value.is_none() => return Ok(Weight { cost: 1, height: 1 }),
            Some(None) => return Err(Excess::Circle),
            None => {}
        }
        self.seen.insert(visit, None);
        let weight = self.weigh(schema, value, depth)?;
        self.seen.insert(visit, Some(weight));
        Ok(weight)
    }

    fn find(&self, reference: &str) -> Result<&'s Value, Excess> {
        let found = match reference.strip_prefix('#') {
            Some("") => Some(self.root),
            // A pointer with an escaped character is not read here.
            Some(pointer) if pointer.starts_with('/') && !pointer.contains('%') => {
                self.root.pointer(pointer)
            }
            Some(anchor) => self.anchors.get(anchor).copied(),
            None => None,
        };
        found.ok_or_else(|| Excess::Foreign(reference.to_owned()))
    }
}

/// The sum of what a schema has.
struct Sum {
    weight: Weight,
    /// How deep the schema is.
    depth: u64,
    most: u64,
}

impl Sum {
    fn add(&mut self, part: Weight) -> Result<(), Excess> {
        self.weight.cost = self.weight.cost.saturating_add(part.cost);
        self.weight.height = self.weight.height.max(part.height + 1);
        if self.weight.cost > self.most {
            return Err(Excess::Size);
        }
        if self.depth + self.weight.height > DEEPEST {
            return Err(Excess::Depth);
        }
        Ok(())
    }

    fn steps(&mut self, steps: usize) -> Result<(), Excess> {
        self.add(Weight { cost: steps as u64, height: 0 })
    }
}

/// What a pattern costs: it is compiled once, and then tried on each value.
fn pattern(value: Option<&Value>) -> u64 {
    if value.is_none() { PATTERN } else { 1 }
}

fn children(value: &Value) -> impl Iterator<Item = &Value> {
    let items = value.as_array().into_iter().flatten();
    items.chain(value.as_object().into_iter().flat_map(Map::values))
}

/// The schemas with names of their own. Schemas that are documents of their own inside the schema
/// give references another meaning, and are not followed.
fn find_anchors<'s>(
    value: &'s Value,
    is_root: bool,
    id: &str,
    anchors: &mut HashMap<&'s str, &'s Value>,
) -> Result<(), Excess> {
    for (name, member) in value.as_object().into_iter().flatten() {
        let Value::String(text) = member else { continue };
        let is_foreign = match name.as_str() {
            "$anchor" | "$dynamicAnchor" => {
                anchors.insert(text, value).is_some_and(|other| !ptr::eq(other, value))
            }
            name => !is_root && (name == id || name == "$schema"),
        };
        if is_foreign {
            return Err(Excess::Foreign(text.clone()));
        }
    }
    children(value).try_for_each(|child| find_anchors(child, false, id, anchors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Definitions each of which refers twice to the next one, under a keyword.
    fn doubling(definitions: usize, keyword: &str) -> Value {
        let mut schema = json!({ "$ref": "#/$defs/d0", "$defs": {} });
        for number in 0..definitions {
            let next = json!({ "$ref": format!("#/$defs/d{}", number + 1) });
            schema["$defs"][format!("d{number}")] = json!({ keyword: [next, next] });
        }
        schema["$defs"][format!("d{definitions}")] = json!({ "type": "string" });
        schema
    }

    #[test]
    fn what_is_referred_to_is_counted_at_each_reference() {
        assert_eq!(of_schema(&doubling(1, "anyOf")), Ok(6));
        assert_eq!(of_schema(&doubling(2, "anyOf")), Ok(14));
        for keyword in ["anyOf", "allOf", "oneOf", "prefixItems"] {
            assert_eq!(of_schema(&doubling(40, keyword)), Err(Excess::Size), "{keyword}");
        }
        assert_eq!(of_check(&doubling(40, "oneOf"), &json!(1)), Err(Excess::Size));
    }

    #[test]
    fn schemas_about_parts_of_themselves_cost_what_the_value_has() {
        let tree = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string" },
                "children": { "type": "array", "items": { "$ref": "#" } },
            },
        });
        assert!(of_schema(&tree).unwrap() < 10);
        let leaf = json!({ "name": "leaf", "children": [] });
        let wide = json!({ "name": "root", "children": vec![leaf; 100] });
        let cost = of_check(&tree, &wide).unwrap();
        assert!((300..1_000).contains(&cost), "{cost}");
        // One that asks twice about each part takes twice as long with each level.
        let twice =
            json!({ "properties": { "next": { "anyOf": [{ "$ref": "#" }, { "$ref": "#" }] } } });
        let mut value = json!({});
        for _ in 0..60 {
            value = json!({ "next": value });
        }
        assert!(of_schema(&twice).unwrap() < 30);
        assert_eq!(of_check(&twice, &value), Err(Excess::Size));
        assert!(of_check(&twice, &json!({ "next": { "next": {} } })).unwrap() < 30);
    }

    #[test]
    fn no_check_follows_a_circle() {
        for circle in [
            json!({ "$ref": "#" }),
            json!({ "allOf": [{ "$ref": "#" }] }),
            json!({ "$ref": "#/$defs/a", "$defs": {
                "a": { "$ref": "#/$defs/b" }, "b": { "not": { "$ref": "#/$defs/a" } },
            } }),
        ] {
            assert!(of_schema(&circle).is_ok());
            assert_eq!(of_check(&circle, &json!({})), Err(Excess::Circle), "{circle}");
        }
    }

    #[test]
    fn chains_and_nests_are_as_deep_as_the_stack_allows() {
        let chain = |length: usize| {
            let mut schema = json!({ "$ref": "#/$defs/d0", "$defs": {} });
            for number in 0..length {
                let next = json!({ "$ref": format!("#/$defs/d{}", number + 1) });
                schema["$defs"][format!("d{number}")] = next;
            }
            schema["$defs"][format!("d{length}")] = json!({});
            // The end is counted first, so that what is known of it hides nothing.
            let parts: Vec<Value> = (0..=length)
                .rev()
                .map(|number| json!({ "$ref": format!("#/$defs/d{number}") }))
                .collect();
            json!({ "allOf": parts, "$defs": schema["$defs"] })
        };
        assert!(of_check(&chain(100), &json!({})).is_ok());
        assert_eq!(of_check(&chain(300), &json!({})), Err(Excess::Depth));
        assert!(of_schema(&chain(300)).is_err());
    }

    #[test]
    fn long_values_and_patterns_count() {
        let schema = json!({ "items": { "pattern": "^a+$" } });
        assert_eq!(of_schema(&schema), Ok(1 + 1 + PATTERN));
        assert_eq!(of_check(&schema, &json!(["aa"])), Ok(3));
        assert_eq!(of_check(&schema, &json!(["a".repeat(10 * BYTES)])), Ok(13));
        let many = vec![Value::from(1); usize::try_from(MOST_STEPS).unwrap()];
        assert_eq!(of_check(&schema, &many.into()), Err(Excess::Size));
        let open =
            json!({ "unevaluatedProperties": false, "allOf": [{ "properties": { "a": {} } }] });
        assert!(of_check(&open, &json!({ "a": 1, "b": 2, "c": 3 })).unwrap() >= 8);
    }

    #[test]
    fn references_are_found_by_pointer_and_anchor_and_nowhere_else() {
        let named = json!({ "$ref": "#n", "$defs": { "x": { "$anchor": "n", "allOf": [true] } } });
        assert_eq!(of_schema(&named), Ok(3));
        for (schema, what) in [
            (json!({ "$ref": "https://schemas.example/a" }), "https://schemas.example/a"),
            (json!({ "$ref": "#/$defs/none" }), "#/$defs/none"),
            (json!({ "$defs": { "x": { "$id": "other" } } }), "other"),
            (json!({ "allOf": [{ "$anchor": "n" }, { "$anchor": "n" }] }), "n"),
        ] {
            assert_eq!(of_schema(&schema), Err(Excess::Foreign(what.to_owned())));
        }
        let about_ids = json!({ "properties": { "id": { "type": "string" }, "$id": {} } });
        assert!(of_schema(&about_ids).is_ok());
    }
}
