//! Guardrails of NVIDIA `NeMo`.

#[cfg(test)]
mod tests;

use crate::content::words;
use async_trait::async_trait;
use chaski_api::{
    Api, Error, ErrorKind, Reader, Result,
    inference::Message,
    safety::{RunShieldResponse, SafetyViolation, Shield, ViolationLevel},
};
use chaski_provider::{
    Context, Deps, Hosts, Lifecycle, Provider, ProviderConfig, Safety, SafetyProvider, Spec,
};
use chaski_upstream::{Http, Request, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const NAME: &str = "NeMo Guardrails";
/// The largest answer.
const ANSWER_BYTES: usize = 1024 * 1024;
/// What a user is told in place of an answer.
const REFUSAL: &str = "Sorry I cannot do this.";
/// The most tokens of the judgement of a model behind the service.
const MAX_TOKENS: i64 = 160;

const DOCS: &str = "\
Asks the [NeMo Guardrails microservice](https://docs.nvidia.com/nemo/microservices/latest/guardrails/index.html) of NVIDIA
about messages (`POST /v1/guardrail/checks`).

- `config_id` names a configuration of guardrails of the service, such as `self-check`.
- The id that a shield has at this provider names the model that the service asks for self checks, such as
  `meta/llama-3.1-8b-instruct`.
- The texts and calls of all messages are looked at; images are not shown.
- What the service says about each of its rails is in the metadata of a violation.
- The service takes no credentials: keep it where nobody else reaches it.
";

chaski_api::wire! {
    /// The configuration of `remote::nvidia` for shields.
    pub struct NvidiaConfig {
        /// The URL of the service.
        pub guardrails_service_url: String = "http://0.0.0.0:7331".to_owned(),
        /// The configuration of guardrails that the service uses.
        pub config_id: String = "self-check".to_owned(),
    }
}

/// The address that messages are checked at.
fn address(url: &str) -> Option<Url> {
    let url = format!("{}/v1/guardrail/checks", url.trim().trim_end_matches('/'));
    Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

impl ProviderConfig for NvidiaConfig {
    fn sample(_dir: &str) -> Value {
        json!({
            "guardrails_service_url": "${env.GUARDRAILS_SERVICE_URL:http://localhost:7331}",
            "config_id": "self-check",
        })
    }

    fn validate(&self, reader: &mut Reader) {
        if address(&self.guardrails_service_url).is_none() {
            reader.key("guardrails_service_url", |reader| {
                let text = "Input should be a web address, such as `http://localhost:7331`";
                reader.issue::<()>("url", text.to_owned())
            });
        }
    }
}

/// Shields that the service carries out.
pub(crate) struct Nvidia {
    http: Http,
    url: Url,
    config_id: String,
}

impl Provider for Nvidia {
    type Api = dyn SafetyProvider;
    type Config = NvidiaConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        ..Spec::new(Api::Safety, "remote::nvidia", "Asks NVIDIA's NeMo Guardrails.")
    };

    async fn build(config: NvidiaConfig, deps: Deps) -> Result<Arc<dyn SafetyProvider>> {
        let url = address(&config.guardrails_service_url).ok_or_else(|| {
            Error::unavailable("`guardrails_service_url` is not a web address; set it to one")
        })?;
        Ok(Arc::new(Self { http: deps.http, url, config_id: config.config_id }))
    }
}

/// What the service answers (`NeMo` microservices, `GuardrailCheckResponse`).
#[derive(Deserialize)]
struct Checked {
    status: String,
    #[serde(default)]
    rails_status: Map<String, Value>,
}

fn shown(message: &Message) -> Value {
    let role = match message {
        Message::User(_) => "user",
        Message::System(_) => "system",
        Message::Tool(_) => "tool",
        Message::Assistant(_) => "assistant",
    };
    json!({ "role": role, "content": words(message) })
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Upstream { status: None }, format!("{NAME} {what}"))
}

#[async_trait]
impl Safety for Nvidia {
    async fn run_shield(
        &self,
        cx: &Context,
        shield: &Shield,
        messages: &[Message],
        _params: Option<&Map<String, Value>>,
    ) -> Result<RunShieldResponse> {
        let body = json!({
            "model": shield.provider_resource_id,
            "messages": messages.iter().map(shown).collect::<Vec<_>>(),
            "temperature": 1.0,
            "top_p": 1,
            "frequency_penalty": 0,
            "presence_penalty": 0,
            "max_tokens": MAX_TOKENS,
            "stream": false,
            "guardrails": { "config_id": self.config_id },
        });
        let request = Request::post(NAME, self.url.clone())
            .json(body.to_string())
            .retries(self.http.retries())
            .deadline(cx.deadline)
            .trace(cx.spans.parent());
        let response = self.http.send(request).await?.success().await?;
        let body = response.bytes(ANSWER_BYTES).await?;
        let checked: Checked = serde_json::from_slice(&body)
            .map_err(|error| broken("sent an answer that cannot be understood").caused_by(error))?;
        match checked.status.as_str() {
            "success" => Ok(RunShieldResponse { violation: None }),
            "blocked" => Ok(RunShieldResponse {
                violation: Some(SafetyViolation {
                    violation_level: ViolationLevel::Error,
                    user_message: Some(REFUSAL.to_owned()),
                    metadata: checked.rails_status,
                }),
            }),
            other => Err(broken(&format!("answered with the unknown status `{other}`"))),
        }
    }
}

#[async_trait]
impl Hosts<Shield> for Nvidia {
    /// Which models the service may ask it knows only when it asks one.
    async fn on_register(&self, shield: Shield) -> Result<Shield> {
        Ok(shield)
    }
}

#[async_trait]
impl Lifecycle for Nvidia {}
