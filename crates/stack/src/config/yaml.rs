//! YAML in and out: the only place that knows the YAML library.

use chaski_api::Issue;
use serde_json::Value;

/// Configurations are small; these bounds keep a bomb of aliases from filling the memory.
const MOST_NODES: usize = 50_000;
const MOST_DEPTH: usize = 48;
const MOST_REPLAYED: usize = 50_000;

/// Reads YAML as a JSON value. `yes` and `off` stay texts; fields that want a truth value take
/// them for one.
pub(super) fn parse(text: &str) -> Result<Value, Vec<Issue>> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MOST_NODES,
            max_events: 4 * MOST_NODES,
            max_depth: MOST_DEPTH,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MOST_REPLAYED },
        strict_booleans: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        // The library's own text may quote the file, and with it a secret.
        let message = error.without_snippet().to_string();
        let message = message.lines().next().unwrap_or_default().to_owned();
        vec![Issue {
            loc: Vec::new(),
            msg: format!("not valid YAML: {message}"),
            kind: "yaml_invalid",
        }]
    })
}

/// Writes a value as YAML; give it what [`super::redacted`] returns.
pub fn to_yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).expect("JSON values can be written as YAML")
}

#[cfg(test)]
mod tests {
    use super::{parse, to_yaml};
    use serde_json::json;

    #[test]
    fn yaml_becomes_the_same_values_as_in_the_reference() {
        let value = parse(
            "a: yes\nb: 'yes'\nc: true\nd: 010\ne: ~\nf: null\ng: [1, 2.5, '3']\n\
             h: {x: \"${env.A}\", y: 1}\n'i:': |\n  two\n  lines\nshields::\n- z: 1\n",
        )
        .unwrap();
        assert_eq!(value["a"], "yes");
        assert_eq!(value["b"], "yes");
        assert_eq!(value["c"], true);
        assert_eq!(value["e"], json!(null));
        assert_eq!(value["f"], json!(null));
        assert_eq!(value["g"], json!([1, 2.5, "3"]));
        assert_eq!(value["h"], json!({ "x": "${env.A}", "y": 1 }));
        assert_eq!(value["i:"], "two\nlines\n");
        assert_eq!(value["shields:"], json!([{ "z": 1 }]));
    }

    #[test]
    fn files_of_all_editors_are_read() {
        let expected = json!({ "a": 1, "b": { "x": 1, "y": 2 } });
        for text in [
            "\u{feff}a: 1\nb: {x: 1, y: 2}\n",
            "a: 1\r\nb:\r\n  x: 1\r\n  y: 2\r\n",
            "%YAML 1.1\n---\n# comment\na: 1\nb: {x: 1, y: 2} # more\n",
            "---\na: 1\nb: {x: 1, y: 2}\n...\n",
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text:?}");
        }
        let merged = parse("base: &base {x: 1}\nb:\n  <<: *base\n  y: 2\n").unwrap();
        assert_eq!(merged["b"], expected["b"]);
        assert_eq!(parse("").unwrap(), json!(null));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut lines = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x]".to_owned()];
        for level in 1..12 {
            let items = vec![format!("*a{}", level - 1); 9].join(", ");
            lines.push(format!("a{level}: &a{level} [{items}]"));
        }
        assert!(parse(&lines.join("\n")).is_err());
        let deep = "[".repeat(100_000);
        assert!(parse(&deep).is_err());
        assert!(parse(&format!("{deep}{}", "]".repeat(100_000))).is_err());
    }

    #[test]
    fn an_error_says_where_and_shows_nothing_of_the_file() {
        let issues = parse("a: 1\napi_key: \"sk-very-secret\nb: [\n").unwrap_err();
        assert_eq!(issues.len(), 1);
        let text = issues[0].to_string();
        assert!(text.starts_with("not valid YAML: ") && text.contains("line"), "{text}");
        assert!(!text.contains("sk-very-secret"), "{text}");
        let twice = parse("a: 1\na: 2\n").unwrap_err();
        assert!(twice[0].msg.contains("uplicate"), "{}", twice[0]);
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let value = json!({
            "version": "2", "port": 8321, "yes": "yes", "no": "no", "null": "null", "empty": "",
            "list": [], "map": {}, "nested": [{ "a": [1, "1", true, "true", null] }],
            "text": "two\nlines\n", "odd": "- # : ${env.X} '\" \\ é \t", "tilde": "~", "n": "010",
        });
        let text = to_yaml(&value);
        assert_eq!(parse(&text).unwrap(), value, "{text}");
    }
}
