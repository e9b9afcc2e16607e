//! Prompt Guard: a small network in this process that tells attacks on a prompt by their vectors.

mod network;
#[cfg(test)]
mod tests;

use crate::content::words;
use async_trait::async_trait;
use chaski_api::{
    Api, Error, ErrorKind, Reader, Result,
    inference::Message,
    openai::{Body, EmbeddingList, EmbeddingRequest},
    safety::{RunShieldResponse, SafetyViolation, Shield, ViolationLevel},
};
use chaski_provider::{
    Context, Deps, Hosts, Judges, Lifecycle, Provider, ProviderConfig, Safety, SafetyProvider, Spec,
};
use network::{INPUTS, Network};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What a user is told in place of an answer.
const REFUSAL: &str = "Sorry, I cannot do this.";
/// The characters that are judged together: what the embedding model reads of a text.
const PIECE: usize = 1000;
/// How many characters of a piece are in the next one too, so that no attack is cut in two.
const SHARED: usize = 200;
/// The most pieces of a message.
const MOST_PIECES: usize = 500;
/// How many pieces the embedding model is given at once.
const AT_ONCE: usize = 32;

const DOCS: &str = "\
Tells attacks on a prompt (injections and jailbreaks) from other texts, in this process: a small network looks at the
vector that `all-MiniLM-L6-v2` gives the last message.

- It is a signal and no proof. Of 20 attacks that were written by hand it finds 15 at the threshold 0.9, and it objects to
  1 of 40 harmless texts (\"How do I reset my password?\"); of another 12 harmless texts it objected to 3. Attacks in other
  languages than English are hardly found. Lower `threshold` to find more attacks, raise it to object to fewer harmless
  texts, and look at the messages of your own users first.
- This is not Meta's Prompt Guard, whose weights may not be passed on. The network knows one kind of attack, so
  `guard_type` only says what the violation is called: `prompt_injection` or `jailbreak`.
- The embedding model must be registered, with vectors of 384 numbers; `embedding_model` names it. The weights of the
  network are in the binary; they are those of the crate `jailguard` 0.1.2 (MIT OR Apache-2.0).
- The text of the last message is judged, in pieces of 1000 characters; the most suspicious piece decides. A message of
  more than 500 pieces is refused, and so is every message while the embedding model cannot be asked.
";

chaski_api::wire! {
    /// The kind of attack that is looked for.
    pub enum GuardType {
        /// Instructions to the model in what it reads.
        Injection = "injection",
        /// Attempts to make the model forget its rules.
        Jailbreak = "jailbreak",
    }

    /// The configuration of `inline::prompt-guard`.
    pub struct PromptGuardConfig {
        /// What a violation is called.
        pub guard_type: GuardType = GuardType::Injection,
        /// How likely a text must be an attack to be objected to, from 0 to 1.
        pub threshold: f64 = 0.9,
        /// The registered embedding model: one of `all-MiniLM-L6-v2`, and no other.
        pub embedding_model: String = "all-MiniLM-L6-v2".to_owned(),
    }
}

impl ProviderConfig for PromptGuardConfig {
    fn sample(_dir: &str) -> Value {
        json!({ "guard_type": "injection" })
    }

    fn validate(&self, reader: &mut Reader) {
        if !(0.0..=1.0).contains(&self.threshold) {
            reader.key("threshold", |reader| {
                reader.issue::<()>("threshold", "Input should be a number from 0 to 1".to_owned())
            });
        }
    }
}

/// Shields that look at the vector of a message.
pub(crate) struct PromptGuard {
    config: PromptGuardConfig,
    network: Arc<Network>,
    deps: Deps,
}

impl Provider for PromptGuard {
    type Api = dyn SafetyProvider;
    type Config = PromptGuardConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(
            Api::Safety,
            "inline::prompt-guard",
            "Tells attacks on a prompt with a small network in this process.",
        )
    };

    async fn build(config: PromptGuardConfig, deps: Deps) -> Result<Arc<dyn SafetyProvider>> {
        Ok(Arc::new(Self { config, network: Arc::new(Network::new()), deps }))
    }
}

/// The text in pieces that share some characters.
fn pieces(text: &str) -> Vec<&str> {
    // Where each character begins, and the end.
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let count = starts.len() - 1;
    let mut pieces = Vec::new();
    let mut first = 0;
    loop {
        let last = (first + PIECE).min(count);
        pieces.push(&text[starts[first]..starts[last]]);
        if last == count {
            return pieces;
        }
        first = last - SHARED;
    }
}

impl PromptGuard {
    /// The vectors of some texts.
    async fn vectors(&self, cx: &Context, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let mut body = Body::default();
        body.insert("model".to_owned(), self.config.embedding_model.as_str().into());
        body.insert("input".to_owned(), json!(texts));
        let inference = self.deps.routers.inference()?;
        let list: EmbeddingList =
            inference.embeddings(cx, EmbeddingRequest { body }).await?.into_value()?;
        if list.data.len() != texts.len() {
            return Err(self.unfit());
        }
        #[expect(clippy::cast_possible_truncation, reason = "vectors are made of 32-bit numbers")]
        let narrow = |numbers: Vec<f64>| numbers.into_iter().map(|number| number as f32).collect();
        list.data.iter().map(|entry| entry.numbers().map(narrow)).collect()
    }

    /// How likely the most suspicious piece of a text is an attack.
    async fn score(&self, cx: &Context, text: &str) -> Result<f32> {
        let pieces = pieces(text);
        if pieces.len() > MOST_PIECES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "the last message is too long to be judged; send it in parts",
            ));
        }
        let mut highest = 0.0_f32;
        for batch in pieces.chunks(AT_ONCE) {
            let vectors = self.vectors(cx, batch).await?;
            let network = Arc::clone(&self.network);
            let scores = self.deps.cpu.run(move || {
                let scores = vectors.iter().map(|vector| network.score(vector));
                scores.collect::<Option<Vec<f32>>>()
            });
            let scores = scores.await?.ok_or_else(|| self.unfit())?;
            highest = scores.into_iter().fold(highest, f32::max);
        }
        Ok(highest)
    }

    fn unfit(&self) -> Error {
        let model = &self.config.embedding_model;
        let message = format!(
            "the vectors of `{model}` do not have the {INPUTS} numbers of `all-MiniLM-L6-v2`; name \
             that model in `embedding_model`"
        );
        Error::new(ErrorKind::Upstream { status: None }, message)
    }
}

#[async_trait]
impl Safety for PromptGuard {
    fn judges(&self) -> Judges {
        Judges::Attacks
    }

    async fn run_shield(
        &self,
        cx: &Context,
        _shield: &Shield,
        messages: &[Message],
        _params: Option<&Map<String, Value>>,
    ) -> Result<RunShieldResponse> {
        let Some(last) = messages.last() else {
            return Err(Error::invalid("Messages must not be empty"));
        };
        let text = words(last);
        if text.trim().is_empty() {
            return Ok(RunShieldResponse { violation: None });
        }
        let score = self.score(cx, &text).await?;
        let attack = f64::from(score) > self.config.threshold;
        let kind = match self.config.guard_type {
            GuardType::Injection => "prompt_injection",
            GuardType::Jailbreak => "jailbreak",
        };
        let violation = attack.then(|| SafetyViolation {
            violation_level: ViolationLevel::Error,
            user_message: Some(REFUSAL.to_owned()),
            metadata: Map::from_iter([(
                "violation_type".to_owned(),
                format!("{kind}:malicious={score:.4}").into(),
            )]),
        });
        Ok(RunShieldResponse { violation })
    }
}

#[async_trait]
impl Hosts<Shield> for PromptGuard {
    async fn on_register(&self, shield: Shield) -> Result<Shield> {
        Ok(shield)
    }
}

#[async_trait]
impl Lifecycle for PromptGuard {}
