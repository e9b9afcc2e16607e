//! The lists of models that upstreams give.

use serde_json::Value;

/// A model that an upstream lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub id: String,
    /// In seconds since 1970.
    pub created: Option<i64>,
    /// What the upstream says that the model is for, such as `chat` or `embedding`.
    pub kind: Option<String>,
    /// The tokens that fit into a prompt and its answer together.
    pub context_length: Option<i64>,
}

/// The names that upstreams have for the length of the context.
const CONTEXT_LENGTHS: &[&str] =
    &["max_model_len", "context_length", "context_window", "max_context_length"];

/// The models of a list: in `data` as OpenAI has it, in `endpoints`, or bare. Entries without a
/// name are skipped, unless none has one.
pub(super) fn read(text: &[u8]) -> Option<Vec<Listed>> {
    let list: Value = serde_json::from_slice(text).ok()?;
    let list = list.get("data").or_else(|| list.get("endpoints")).unwrap_or(&list);
    let entries = list.as_array()?;
    let listed = entries.iter().filter_map(|entry| {
        let text = |name: &str| entry.get(name)?.as_str().map(str::to_owned);
        let number = |name: &str| entry.get(name)?.as_i64();
        Some(Listed {
            id: text("id").or_else(|| text("name"))?,
            created: number("created"),
            kind: text("type").or_else(|| text("task")),
            context_length: CONTEXT_LENGTHS
                .iter()
                .find_map(|name| number(name))
                .filter(|length| *length > 0),
        })
    });
    let listed: Vec<Listed> = listed.collect();
    (entries.is_empty() || !listed.is_empty()).then_some(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<String> {
        read(text.as_bytes()).unwrap().into_iter().map(|listed| listed.id).collect()
    }

    #[test]
    fn lists_are_read_wherever_the_upstream_puts_them() {
        assert_eq!(ids(r#"{"data": [{"id": "a", "name": "A"}, {"object": "model"}, 7]}"#), ["a"]);
        assert_eq!(ids(r#"[{"id": "a", "created": 1.5}]"#), ["a"]);
        assert_eq!(ids(r#"{"endpoints": [{"name": "a"}]}"#), ["a"]);
        for broken in ["{}", "7", r#"{"data": "a"}"#, "", r#"{"data": [{}]}"#] {
            assert_eq!(read(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn the_facts_have_several_names() {
        for name in CONTEXT_LENGTHS {
            let text = format!(r#"[{{"id": "a", "{name}": 8192, "type": "chat"}}]"#);
            let listed = read(text.as_bytes()).unwrap().remove(0);
            assert_eq!(listed.context_length, Some(8192), "{name}");
            assert_eq!(listed.kind.as_deref(), Some("chat"));
        }
        let listed = read(br#"[{"id": "a", "context_length": 0, "task": "t"}]"#).unwrap().remove(0);
        assert_eq!((listed.context_length, listed.kind.as_deref()), (None, Some("t")));
    }
}
