//! The code scanner: patterns of insecure code in messages.

mod rules;
mod scan;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use chaski_api::{
    Api, Error, Reader, Result,
    inference::{ContentItem, InterleavedContent, Message},
    safety::{RunShieldResponse, SafetyViolation, Shield, ViolationLevel},
};
use chaski_provider::{
    Context, Cpu, Deps, Hosts, Judges, Lifecycle, Provider, ProviderConfig, Safety, SafetyProvider,
    Spec,
};
use rules::{ALL, Rule, Treatment};
use scan::Finding;
use serde_json::{Map, Value, json};
use std::{collections::HashSet, sync::Arc};

/// The ids that a shield may have at this provider.
const SHIELDS: &[&str] = &["CodeScanner", "CodeShield"];

/// What a user is told in place of an answer.
const REFUSAL: &str = "Sorry, I found security concerns in the code.";

const DOCS: &str = "\
Looks for insecure code in messages, by rules that are part of the server: nothing is downloaded, no model is asked.

- The id that a shield has at this provider is `CodeScanner` or `CodeShield`.
- There are rules for Python, C and C++, JavaScript and TypeScript, Java and Kotlin, PHP and Rust, and for secrets in
  any text. Each has a name, the number of its weakness in the [CWE](https://cwe.mitre.org), and what to do in place
  of what it finds. Regular expressions take a time that grows only with the length of the text.
- Blocks of code are looked at by the rules of their language, or by all where they name none that is known; a language
  without rules is looked at for secrets. The text beside blocks is looked at by all rules, without what it quotes between
  backticks; so is a text without blocks, as a whole. Comments are left out, except for secrets.
- Each rule has one of two treatments: `block`, or `warn` for what has good uses too. Both are violations of the level
  `error`; with `warnings: warn` those that only warn have the level `warn`, which agents let pass.
- The `violation_type` names the rules, with commas between them. `treatment` is the stronger one, and `findings` has
  for each line the rule, its `cwe`, its treatment and its message.
";

chaski_api::wire! {
    /// What becomes of code that has good uses too.
    pub enum Warnings {
        /// It is objected to.
        Error = "error",
        /// It is reported.
        Warn = "warn",
    }

    /// The configuration of `inline::code-scanner`.
    pub struct CodeScannerConfig {
        /// The level of violations that only have findings of the treatment `warn`.
        pub warnings: Warnings = Warnings::Error,
        /// The names of rules that are not used.
        pub excluded_rules: Vec<String> = Vec::new(),
    }
}

/// All rules.
fn rules() -> impl Iterator<Item = &'static Rule> {
    ALL.iter().flat_map(|(_, rules)| rules.iter())
}

impl ProviderConfig for CodeScannerConfig {
    fn sample(_dir: &str) -> Value {
        json!({})
    }

    fn validate(&self, reader: &mut Reader) {
        for (index, name) in self.excluded_rules.iter().enumerate() {
            if rules().all(|rule| rule.id != name) {
                reader.key("excluded_rules", |reader| {
                    reader.index(index, |reader| {
                        let text = format!("`{name}` is no rule, such as `python-eval`");
                        reader.issue::<()>("rule", text)
                    })
                });
            }
        }
    }
}

/// The shields that scan code.
pub(crate) struct CodeScanner {
    warnings: Warnings,
    excluded: HashSet<String>,
    cpu: Cpu,
}

impl Provider for CodeScanner {
    type Api = dyn SafetyProvider;
    type Config = CodeScannerConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(Api::Safety, "inline::code-scanner", "Looks for insecure code in messages.")
    };

    async fn build(config: CodeScannerConfig, deps: Deps) -> Result<Arc<dyn SafetyProvider>> {
        let excluded = config.excluded_rules.into_iter().collect();
        Ok(Arc::new(Self { warnings: config.warnings, excluded, cpu: deps.cpu }))
    }
}

/// The texts of a message: what it says, and the texts that a model calls tools with.
fn texts(message: &Message) -> Vec<String> {
    let content = match message {
        Message::User(message) => &message.content,
        Message::System(message) => &message.content,
        Message::Tool(message) => &message.content,
        Message::Assistant(message) => &message.content,
    };
    let of_item = |item: &ContentItem| match item {
        ContentItem::Text(text) => Some(text.text.clone()),
        ContentItem::Image(_) => None,
    };
    let mut texts = match content {
        InterleavedContent::Text(text) => vec![text.clone()],
        InterleavedContent::Item(item) => of_item(item).into_iter().collect(),
        InterleavedContent::Items(items) => items.iter().filter_map(of_item).collect(),
    };
    if let Message::Assistant(message) = message {
        let calls = message.tool_calls.iter().flatten();
        let arguments = calls.flat_map(|call| call.arguments.values());
        texts.extend(arguments.filter_map(Value::as_str).map(str::to_owned));
    }
    texts
}

impl CodeScanner {
    fn violation(&self, findings: &[Finding]) -> Option<SafetyViolation> {
        let is_used = |finding: &&Finding| !self.excluded.contains(finding.rule.id);
        let findings: Vec<&Finding> = findings.iter().filter(is_used).collect();
        let treatment = findings.iter().map(|finding| finding.rule.treatment).max()?;
        let violation_level = match (treatment, self.warnings) {
            (Treatment::Warn, Warnings::Warn) => ViolationLevel::Warn,
            (Treatment::Warn, Warnings::Error) | (Treatment::Block, _) => ViolationLevel::Error,
        };
        let mut names: Vec<&str> = Vec::new();
        for finding in &findings {
            if !names.contains(&finding.rule.id) {
                names.push(finding.rule.id);
            }
        }
        let told = findings.iter().map(|Finding { rule, line }| {
            json!({
                "rule": rule.id, "cwe": format!("CWE-{}", rule.cwe), "line": line,
                "treatment": rule.treatment.as_str(), "message": rule.message,
            })
        });
        let metadata = Map::from_iter([
            ("violation_type".to_owned(), names.join(",").into()),
            ("treatment".to_owned(), treatment.as_str().into()),
            ("findings".to_owned(), told.collect()),
        ]);
        Some(SafetyViolation { violation_level, user_message: Some(REFUSAL.to_owned()), metadata })
    }
}

#[async_trait]
impl Safety for CodeScanner {
    fn judges(&self) -> Judges {
        Judges::Code
    }

    async fn run_shield(
        &self,
        _cx: &Context,
        _shield: &Shield,
        messages: &[Message],
        _params: Option<&Map<String, Value>>,
    ) -> Result<RunShieldResponse> {
        let texts: Vec<String> = messages.iter().flat_map(texts).collect();
        let text = texts.join("\n");
        let findings = self.cpu.run(move || scan::scan(&text)).await?;
        Ok(RunShieldResponse { violation: self.violation(&findings) })
    }
}

#[async_trait]
impl Hosts<Shield> for CodeScanner {
    async fn on_register(&self, shield: Shield) -> Result<Shield> {
        let id = shield.provider_resource_id.as_str();
        if SHIELDS.contains(&id) {
            return Ok(shield);
        }
        Err(Error::invalid(format!(
            "Unsupported Code Scanner ID: {id}. Allowed IDs: {}",
            SHIELDS.join(", ")
        )))
    }
}

#[async_trait]
impl Lifecycle for CodeScanner {}
