//! What the rules find, and what becomes of it.

use super::{rules::NAMES, scan::scan, *};
use chaski_api::Wire;
use chaski_provider::{Documents, Environment, Routers, Tasks};
use chaski_upstream::{Http, HttpOptions};

/// The names of the rules that find something.
fn found(text: &str) -> Vec<&'static str> {
    scan(text).iter().map(|finding| finding.rule.id).collect()
}

#[test]
fn every_rule_finds_its_example_and_leaves_the_other_alone() {
    for (language, rules) in ALL {
        let name = NAMES.iter().find(|(_, known)| Some(*known) == *language);
        let name = name.map_or("text", |(name, _)| name);
        for rule in *rules {
            let block = |line: &str| format!("Look:\n```{name}\n{line}\n```\n");
            let (bad, good) = rule.examples;
            assert!(found(&block(bad)).contains(&rule.id), "{} does not find {bad}", rule.id);
            assert!(!found(&block(good)).contains(&rule.id), "{} finds {good}", rule.id);
            assert!(found(bad).contains(&rule.id), "{} needs a block for {bad}", rule.id);
        }
    }
}

#[test]
fn rules_have_names_of_their_own_and_a_remedy() {
    let mut names = HashSet::new();
    for rule in rules() {
        assert!(names.insert(rule.id), "{} is there twice", rule.id);
        assert!(rule.message.contains("; "), "{} has no remedy", rule.id);
        assert!(rule.cwe > 0 && rule.cwe < 2000, "{}", rule.id);
    }
    assert!(names.len() > 80, "{}", names.len());
}

#[test]
fn good_code_of_each_language_is_let_pass() {
    for (language, rules) in ALL {
        let name = NAMES.iter().find(|(_, known)| Some(*known) == *language);
        let name = name.map_or("text", |(name, _)| name);
        let lines: Vec<&str> = rules.iter().map(|rule| rule.examples.1).collect();
        // The one exception says that a format is a constant.
        assert_eq!(found(&format!("```{name}\n{}\n```", lines.join("\n"))), Vec::<&str>::new());
    }
}

#[test]
fn blocks_are_held_to_the_rules_of_their_language() {
    let code = "x = eval(text)";
    assert_eq!(found(&format!("```python\n{code}\n```")), ["python-eval"]);
    assert_eq!(found(&format!("~~~py title=\"a\"\n{code}\n~~~")), ["python-eval"]);
    assert_eq!(found(&format!("```ts\n{code}\n```")), ["javascript-eval"]);
    assert_eq!(found(&format!("```go\n{code}\n```")), Vec::<&str>::new());
    assert!(found(&format!("```\n{code}\n```")).contains(&"python-eval"));
    // A block that does not end is looked at to the end; what is quoted beside blocks is prose.
    assert_eq!(found(&format!("Well:\n```python\n{code}")), ["python-eval"]);
    assert_eq!(found(&format!("Never write `{code}`:\n```python\nx = 1\n```")), Vec::<&str>::new());
}

#[test]
fn no_block_hides_code_from_the_rules() {
    let code = "import os; os.system(input())";
    let expected = found(code);
    assert!(expected.contains(&"python-os-system"), "{expected:?}");
    // Beside a block, and in blocks whose names say nothing.
    for hidden in [
        format!("{code}\n```text\nx\n```"),
        format!("```text\n{code}\n```"),
        format!("```\n```\n{code}"),
        format!("```nonsense\n{code}\n```"),
        format!("```plaintext\nx\n```\n~~~\n~~~\n{code}"),
        format!("`{code}\n```text\nx\n```"),
        format!("`a` {code} `b`\n```text\nx\n```"),
    ] {
        assert_eq!(found(&hidden), expected, "{hidden}");
    }
    for quoted in [
        format!("Do not run `{code}` here.\n```python\nx = 1\n```"),
        format!("Do not run ``{code}`` and `x`.\n```text\nx\n```"),
    ] {
        assert_eq!(found(&quoted), Vec::<&str>::new(), "{quoted}");
    }
}

#[test]
fn comments_and_prose_are_let_pass_but_not_secrets() {
    assert_eq!(found("```python\n# eval(x) is dangerous\nx = 1\n```"), Vec::<&str>::new());
    assert_eq!(found("```python\n# AKIAABCDEFGHIJKLMNOP\n```"), ["aws-access-key"]);
    for prose in [
        "Please evaluate the system and select a password from the list.",
        "The function eval() should be avoided; exec() too.",
        "What is the capital of France?",
        "Delete from the list what you do not need; update it and set the date.",
    ] {
        assert_eq!(found(prose), Vec::<&str>::new(), "{prose}");
    }
}

#[test]
fn lines_are_counted_and_findings_bounded() {
    let findings = scan("a = 1\n\nb = pickle.loads(a)\nc = eval(b)");
    let lines: Vec<_> = findings.iter().map(|found| (found.rule.id, found.line)).collect();
    assert_eq!(lines, [("python-pickle", 3), ("python-eval", 4), ("javascript-eval", 4)]);
    assert_eq!(scan(&"x = eval(y)\n".repeat(1000)).len(), 50);
}

#[test]
fn hostile_texts_take_no_long_time() {
    let long = "(".repeat(2 << 20);
    assert_eq!(found(&long), Vec::<&str>::new());
    let near = "execute(\"select ".repeat(100_000);
    assert_eq!(found(&near), Vec::<&str>::new());
    assert_eq!(found(&"password = \"\n".repeat(100_000)), Vec::<&str>::new());
    assert_eq!(found(&format!("{}é eval(x)", "a".repeat(4095))), Vec::<&str>::new());
}

async fn run(config: Value, messages: Value) -> Option<SafetyViolation> {
    let deps = Deps {
        http: Http::new(HttpOptions::default()).unwrap(),
        weights_dir: "/nowhere".into(),
        compute_threads: 1,
        cpu: Cpu::new(1),
        documents: Documents::in_process(),
        environment: Environment::default(),
        tasks: Tasks::default(),
        routers: Routers::default(),
    };
    let config = CodeScannerConfig::from_json(config).unwrap();
    let provider = CodeScanner::build(config, deps).await.unwrap();
    let messages = Vec::from_json(messages).unwrap();
    let shield = shield("CodeScanner");
    provider.run_shield(&Context::default(), &shield, &messages, None).await.unwrap().violation
}

fn shield(id: &str) -> Shield {
    Shield::from_json(json!({ "identifier": "s", "provider_resource_id": id, "provider_id": "p" }))
        .unwrap()
}

const HASHES: &str =
    "import hashlib\ndef store(password):\n    return hashlib.md5(password).hexdigest()";

#[tokio::test]
async fn a_violation_names_the_rules_and_lines() {
    let said = json!([{ "role": "user", "content": [{ "type": "text", "text": HASHES }] }]);
    let violation = run(json!({}), said.clone()).await.unwrap();
    assert_eq!(violation.violation_level, ViolationLevel::Error);
    assert_eq!(violation.user_message.as_deref(), Some(REFUSAL));
    assert_eq!(violation.metadata["violation_type"], "python-weak-hash");
    assert_eq!(violation.metadata["treatment"], "warn");
    assert_eq!(violation.metadata["findings"][0]["line"], 3);
    assert_eq!(violation.metadata["findings"][0]["cwe"], "CWE-328");
    let lenient = run(json!({ "warnings": "warn" }), said.clone()).await.unwrap();
    assert_eq!(lenient.violation_level, ViolationLevel::Warn);
    assert!(run(json!({ "excluded_rules": ["python-weak-hash"] }), said).await.is_none());
    let blocked = json!([{ "role": "user", "content": "```py\nx = eval(y)\nhashlib.md5(x)\n```" }]);
    let blocked = run(json!({ "warnings": "warn" }), blocked).await.unwrap();
    assert_eq!(blocked.violation_level, ViolationLevel::Error);
    assert_eq!(blocked.metadata["violation_type"], "python-eval,python-weak-hash");
    assert_eq!(blocked.metadata["treatment"], "block");
}

#[tokio::test]
async fn what_a_model_calls_tools_with_is_looked_at() {
    let call =
        json!({ "call_id": "c", "tool_name": "code_interpreter", "arguments": { "code": HASHES } });
    let said = json!([
        { "role": "user", "content": "hello" },
        { "role": "assistant", "content": "", "stop_reason": "end_of_turn", "tool_calls": [call] },
    ]);
    assert!(run(json!({}), said).await.is_some());
    assert!(run(json!({}), json!([{ "role": "user", "content": "hello" }])).await.is_none());
    assert!(run(json!({}), json!([])).await.is_none());
}

#[tokio::test]
async fn shields_have_one_of_two_ids() {
    let provider =
        CodeScanner { warnings: Warnings::Error, excluded: HashSet::new(), cpu: Cpu::new(1) };
    assert!(provider.on_register(shield("CodeShield")).await.is_ok());
    let error = provider.on_register(shield("x")).await.unwrap_err();
    assert_eq!(
        error.message,
        "Unsupported Code Scanner ID: x. Allowed IDs: CodeScanner, CodeShield"
    );
}

#[test]
fn rules_that_there_are_not_cannot_be_excluded() {
    let mut reader = Reader::default();
    let config = json!({ "excluded_rules": ["python-eval", "nope"] });
    let config = CodeScannerConfig::read(config, &mut reader).unwrap();
    config.validate(&mut reader);
    let issues = reader.finish(Some(config)).err().unwrap();
    assert_eq!(
        issues[0].to_string(),
        "excluded_rules[1]: `nope` is no rule, such as `python-eval`"
    );
}
