//! What a JSON schema costs before it is compiled: how large it is, and how large it becomes.
//!
//! The compiler compiles what is referred to once, and keeps a reference that stands alone. Where
//! more is said in the same place (`allOf`, or keywords beside a reference), it copies what the
//! reference leads to, and copies of copies make a few lines as large as memory. Here all that is
//! counted, without a copy.

use crate::{Error, Result};
use serde_json::{Map, Value};
use std::{collections::HashMap, fmt, ptr};

/// Larger schemas are refused: they take long to compile, and no small model fills them.
const MAX_BYTES: usize = 512 << 10;
const MAX_VALUES: usize = 20_000;
/// Deeper schemas are refused before anything recurses into them.
const MAX_DEPTH: usize = 64;
/// The most values after references are followed, and the deepest schema then.
const MAX_EXPANDED: u64 = 100_000;
const MAX_FOLLOWED: usize = 128;

/// Keywords that say nothing about a value.
const REMARKS: &[&str] = &[
    "$anchor",
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "default",
    "definitions",
    "description",
    "examples",
    "id",
    "readOnly",
    "title",
    "writeOnly",
];

/// Refuses a schema that is too large or too deep, as it stands or when its references are followed,
/// and one that refers to other documents.
pub(crate) fn check(schema: &Value, param: &'static str) -> Result<()> {
    check_all([schema], param)
}

/// The same for several that are compiled together.
pub(crate) fn check_all<'s>(
    schemas: impl IntoIterator<Item = &'s Value>,
    param: &'static str,
) -> Result<()> {
    let mut sum = 0;
    for schema in schemas {
        let anchors = check_text(schema, param)?;
        let count = Count { root: schema, anchors, forms: HashMap::new(), sum };
        sum = count.whole().map_err(|excess| Error::invalid(param, excess.to_string()))?;
    }
    Ok(())
}

/// Refuses a schema that is too large or too deep as it stands; gives its anchors.
fn check_text<'s>(schema: &'s Value, param: &'static str) -> Result<HashMap<&'s str, &'s Value>> {
    let refused = |why: String| Err(Error::invalid(param, why));
    let (mut values, mut bytes) = (0, 0);
    let mut waiting = vec![(schema, 0)];
    let mut anchors = HashMap::new();
    while let Some((value, depth)) = waiting.pop() {
        values += 1;
        if depth > MAX_DEPTH {
            return refused(format!("the JSON schema is nested deeper than {MAX_DEPTH} levels"));
        }
        match value {
            Value::Array(items) => waiting.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref")
                    && !target.starts_with('#')
                {
                    return refused(format!(
                        "the JSON schema refers to `{}`; only references inside the schema, \
                         which begin with `#`, are followed",
                        shown(target)
                    ));
                }
                // References would mean another schema below it.
                if depth > 0
                    && let Some(Value::String(id)) = fields.get("$id")
                {
                    return refused(format!(
                        "the JSON schema has the `$id` `{}` inside; leave it out, or give it to \
                         the whole schema",
                        shown(id)
                    ));
                }
                if let Some(Value::String(name)) = fields.get("$anchor") {
                    anchors.insert(name.as_str(), value);
                }
                bytes += fields.keys().map(String::len).sum::<usize>();
                waiting.extend(fields.values().map(|value| (value, depth + 1)));
            }
            Value::String(text) => bytes += text.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        if values + waiting.len() > MAX_VALUES || bytes > MAX_BYTES {
            return refused(format!(
                "the JSON schema is too large: at most {MAX_VALUES} values and {} are compiled",
                crate::size(MAX_BYTES as u64)
            ));
        }
    }
    Ok(anchors)
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Why a schema is not compiled.
#[derive(Debug, PartialEq)]
enum Excess {
    Size,
    Depth,
    Missing(String),
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size => write!(
                f,
                "the JSON schema is too large: with its references followed, at most \
                 {MAX_EXPANDED} values are compiled"
            ),
            Self::Depth => write!(
                f,
                "the JSON schema is nested deeper than {MAX_FOLLOWED} levels when its references \
                 are followed"
            ),
            Self::Missing(reference) => {
                write!(f, "the JSON schema refers to `{reference}`, which is not in it")
            }
        }
    }
}

/// What a schema becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Form {
    /// Between how many schemas there is a choice.
    choices: u64,
    /// The values of all of them.
    size: u64,
}

impl Form {
    const ONE: Self = Self { choices: 1, size: 1 };

    /// Both at once: each choice of one is put together with each of the other.
    fn and(self, other: Self) -> Self {
        let of_self = self.size.saturating_mul(other.choices);
        let of_other = other.size.saturating_mul(self.choices);
        Self {
            choices: self.choices.saturating_mul(other.choices),
            size: of_self.saturating_add(of_other),
        }
    }

    /// One or the other.
    fn or(self, other: Self) -> Self {
        Self {
            choices: self.choices.saturating_add(other.choices),
            size: self.size.saturating_add(other.size),
        }
    }
}

struct Count<'s> {
    root: &'s Value,
    anchors: HashMap<&'s str, &'s Value>,
    /// What is referred to, by its address and whether it is copied; nothing yet where its counting is
    /// going on.
    forms: HashMap<(*const Value, bool), Option<Form>>,
    /// The values of all that is compiled on its own.
    sum: u64,
}

impl<'s> Count<'s> {
    fn whole(mut self) -> Result<u64, Excess> {
        let whole = self.schema(self.root, false, 0)?;
        self.add(whole.size)?;
        Ok(self.sum)
    }

    fn add(&mut self, size: u64) -> Result<(), Excess> {
        self.sum = self.sum.saturating_add(size);
        if self.sum > MAX_EXPANDED { Err(Excess::Size) } else { Ok(()) }
    }

    /// What becomes of a schema, which is `copied` where it is put together with another one.
    fn schema(&mut self, schema: &'s Value, copied: bool, depth: usize) -> Result<Form, Excess> {
        if depth > MAX_FOLLOWED {
            return Err(Excess::Depth);
        }
        let Value::Object(keywords) = schema else { return Ok(Form::ONE) };
        let copied = copied || says_several_things(keywords);
        let mut form: Option<Form> = None;
        let mut plain = 0_u64;
        for (keyword, part) in keywords {
            let one = match (keyword.as_str(), part) {
                (remark, _) if REMARKS.contains(&remark) => continue,
                ("$ref", Value::String(reference)) => self.follow(reference, copied, depth + 1)?,
                ("allOf", Value::Array(parts)) => {
                    let mut all = Form::ONE;
                    for part in parts {
                        all = all.and(self.schema(part, copied, depth + 1)?);
                    }
                    all
                }
                ("anyOf" | "oneOf", Value::Array(parts)) => {
                    let mut any = Form { choices: 0, size: 1 };
                    for part in parts {
                        any = any.or(self.schema(part, copied, depth + 1)?);
                    }
                    Form { choices: any.choices.max(1), ..any }
                }
                ("enum", Value::Array(values)) => Form {
                    choices: values.len().max(1) as u64,
                    size: values.iter().map(values_in).sum(),
                },
                ("const", value) => Form { choices: 1, size: values_in(value) },
                _ => {
                    plain = plain.saturating_add(self.keyword(keyword, part, depth)?);
                    continue;
                }
            };
            form = Some(form.map_or(one, |form| form.and(one)));
        }
        if plain > 0 || form.is_none() {
            let one = Form { choices: 1, size: plain.saturating_add(1) };
            form = Some(form.map_or(one, |form| form.and(one)));
        }
        let form = form.unwrap_or(Form::ONE);
        if form.size > MAX_EXPANDED { Err(Excess::Size) } else { Ok(form) }
    }

    /// The values of a keyword with schemas about the children of a value, or with something plain.
    fn keyword(&mut self, keyword: &str, part: &'s Value, depth: usize) -> Result<u64, Excess> {
        let mut size = 1_u64;
        let mut add = |form: Form| size = size.saturating_add(form.size);
        match (keyword, part) {
            ("properties" | "patternProperties" | "dependentSchemas", Value::Object(parts)) => {
                for part in parts.values() {
                    add(self.schema(part, false, depth + 1)?);
                }
            }
            ("items" | "prefixItems", Value::Array(parts)) => {
                for part in parts {
                    add(self.schema(part, false, depth + 1)?);
                }
            }
            (
                "additionalItems"
                | "additionalProperties"
                | "contains"
                | "else"
                | "if"
                | "items"
                | "not"
                | "propertyNames"
                | "then"
                | "unevaluatedItems"
                | "unevaluatedProperties",
                part,
            ) => add(self.schema(part, false, depth + 1)?),
            (_, part) => size = values_in(part),
        }
        Ok(size)
    }

    /// What a reference becomes: itself, or a copy of what it leads to.
    fn follow(&mut self, reference: &str, copied: bool, depth: usize) -> Result<Form, Excess> {
        let target = self.find(reference)?;
        let compiled = self.form(target, false, depth)?;
        self.add(compiled.map_or(0, |(form, is_new)| if is_new { form.size } else { 0 }))?;
        if !copied {
            return Ok(Form::ONE);
        }
        Ok(self.form(target, true, depth)?.map_or(Form::ONE, |(form, _)| form))
    }

    /// What becomes of what is referred to, and whether that was not known before; nothing where it
    /// refers to itself.
    fn form(
        &mut self,
        target: &'s Value,
        copied: bool,
        depth: usize,
    ) -> Result<Option<(Form, bool)>, Excess> {
        let key = (ptr::from_ref(target), copied);
        if let Some(known) = self.forms.get(&key) {
            return Ok(known.map(|form| (form, false)));
        }
        self.forms.insert(key, None);
        let form = self.schema(target, copied, depth)?;
        self.forms.insert(key, Some(form));
        Ok(Some((form, true)))
    }

    fn find(&self, reference: &str) -> Result<&'s Value, Excess> {
        let missing = || Excess::Missing(shown(reference));
        let fragment = reference.strip_prefix('#').ok_or_else(missing)?;
        let fragment = percent_decoded(fragment).ok_or_else(missing)?;
        let found = if fragment.is_empty() || fragment.starts_with('/') {
            self.root.pointer(&fragment)
        } else {
            self.anchors.get(fragment.as_str()).copied()
        };
        found.ok_or_else(missing)
    }
}

/// Whether a schema is put together out of several that must all hold.
fn says_several_things(keywords: &Map<String, Value>) -> bool {
    let mut things = 0;
    let mut has_plain = false;
    for (keyword, part) in keywords {
        match (keyword.as_str(), part) {
            (remark, _) if REMARKS.contains(&remark) => {}
            ("allOf", Value::Array(parts)) => things += parts.len(),
            ("$ref" | "anyOf" | "oneOf" | "enum" | "const", _) => things += 1,
            _ => has_plain = true,
        }
    }
    things + usize::from(has_plain) > 1
}

/// How many values there are in a value, which counts too.
fn values_in(value: &Value) -> u64 {
    match value {
        Value::Array(items) => 1 + items.iter().map(values_in).sum::<u64>(),
        Value::Object(fields) => 1 + fields.values().map(values_in).sum::<u64>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// The text with `%XX` replaced; nothing where that is no text.
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(schema: &Value) -> String {
        check(schema, "response_format").unwrap_err().to_string()
    }

    /// Definitions `d0`, `d1` and so on, each of which is made of the reference to the next one.
    fn chain(length: usize, link: impl Fn(Value) -> Value) -> Value {
        let mut definitions = Map::new();
        for number in 0..length {
            let next = json!({ "$ref": format!("#/$defs/d{}", number + 1) });
            definitions.insert(format!("d{number}"), link(next));
        }
        definitions.insert(format!("d{length}"), json!({ "type": "string" }));
        json!({ "$ref": "#/$defs/d0", "$defs": definitions })
    }

    #[test]
    fn hostile_schemas_are_refused_before_anything_is_compiled() {
        let mut deep = Value::Null;
        for _ in 0..10_000 {
            deep = Value::Array(vec![deep]);
        }
        assert!(refusal(&deep).contains("deeper than 64 levels"));
        // Dropping a value recurses, so that this test takes it apart itself.
        while let Some(inner) = deep.get_mut(0).map(Value::take) {
            deep = inner;
        }
        let many: Vec<String> = (0..100_000).map(|index| format!("value {index}")).collect();
        assert!(refusal(&json!({ "enum": many })).contains("too large"));
        assert!(refusal(&json!({ "const": "x".repeat(5_000_000) })).contains("too large"));
        let remote = json!({ "items": { "$ref": "http://10.0.0.1/schema.json" } });
        assert!(refusal(&remote).contains("`http://10.0.0.1/schema.json`"));
        let elsewhere = json!({ "$defs": { "a": { "$id": "http://a/" } } });
        assert!(refusal(&elsewhere).contains("`$id` `http://a/`"));
        assert!(refusal(&json!({ "$ref": "#/$defs/a%20b" })).contains("`#/$defs/a%20b`"));
    }

    #[test]
    fn copies_of_copies_are_refused_by_their_number() {
        let object = |next: Value| {
            let both = json!({ "allOf": [next, { "type": "object" }] });
            json!({ "type": "object", "properties": { "a": both, "b": both } })
        };
        let beside = |mut next: Value| {
            next["minProperties"] = 1.into();
            json!({ "type": "object", "properties": { "a": next, "b": next } })
        };
        let choice = |next: Value| json!({ "anyOf": [next, next], "minProperties": 1 });
        for schema in [chain(40, object), chain(40, beside), chain(40, choice)] {
            assert!(refusal(&schema).contains("at most 100000 values"), "{schema}");
        }
        // Each choice is put together with a copy of the rest.
        let names: Map<String, Value> =
            (0..4000).map(|number| (format!("p{number}"), json!({}))).collect();
        let options = vec![json!({ "required": ["p1"] }); 4000];
        let wide = json!({ "type": "object", "properties": names, "anyOf": options });
        assert!(refusal(&wide).contains("at most 100000 values"));
        let options: Vec<Value> = (0..400).map(Value::from).collect();
        let product = json!({ "allOf": [{ "enum": options }, { "enum": options }] });
        assert!(refusal(&product).contains("at most 100000 values"));
    }

    #[test]
    fn a_chain_of_references_has_an_end() {
        let link = |next: Value| json!({ "type": "object", "properties": { "a": next } });
        assert!(check(&chain(40, link), "tools").is_ok());
        assert!(refusal(&chain(1000, link)).contains("deeper than 128 levels"));
    }

    #[test]
    fn several_schemas_are_counted_together() {
        let values: Vec<Value> = (0..18_000).map(Value::from).collect();
        let schema = json!({ "enum": values });
        assert!(check_all([&schema; 5], "tools").is_ok());
        let refused = check_all([&schema; 6], "tools").unwrap_err().to_string();
        assert!(refused.contains("at most 100000 values"), "{refused}");
    }

    #[test]
    fn references_that_stand_alone_are_not_copied() {
        // As the kinds of nodes of a language: each may have each.
        let kinds: Vec<Value> =
            (0..60).map(|number| json!({ "$ref": format!("#/$defs/k{number}") })).collect();
        let mut definitions = Map::from_iter([("any".to_owned(), json!({ "anyOf": kinds }))]);
        for number in 0..60 {
            let any = json!({ "$ref": "#/$defs/any", "description": "a node" });
            let node = json!({
                "type": "object", "properties": { "left": any, "right": any },
                "required": ["left"],
            });
            definitions.insert(format!("k{number}"), node);
        }
        let schema = json!({ "$ref": "#/$defs/any", "$defs": definitions });
        check(&schema, "tools").unwrap();
    }

    #[test]
    fn a_property_called_ref_is_no_reference_and_local_ones_are_followed() {
        let schema = json!({
            "properties": { "next": { "$ref": "#/$defs/a%20b" }, "named": { "$ref": "#here" } },
            "$defs": {
                "a b": { "type": "string" },
                "c": { "$anchor": "here", "properties": { "$ref": { "type": "string" } } },
            },
        });
        check(&schema, "tools").unwrap();
        let nullable = json!({
            "type": "object",
            "properties": { "a": { "allOf": [{ "$ref": "#/$defs/a" }], "nullable": true } },
            "$defs": { "a": { "type": "object", "properties": { "b": { "enum": [1, 2] } } } },
        });
        check(&nullable, "tools").unwrap();
    }
}
