//! Guardrails of Amazon Bedrock.

#[cfg(test)]
mod tests;

use crate::content::{images, words};
use async_trait::async_trait;
use bytes::Bytes;
use chaski_api::{
    Api, Error, ErrorKind, Result,
    inference::{Message, UrlOrData},
    safety::{RunShieldResponse, SafetyViolation, Shield, ViolationLevel},
};
use chaski_provider::{
    AwsApi, AwsConfig, Context, Deps, Hosts, Lifecycle, Provider, Safety, SafetyProvider, Spec,
};
use chaski_upstream::{
    Response,
    aws::{self, Service},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const NAME: &str = "Bedrock";
/// The largest answer.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// The setting of a shield that says which version of its guardrail is meant.
const VERSION: &str = "guardrailVersion";

/// The API by which guardrails are applied.
const RUNTIME: AwsApi = AwsApi {
    name: NAME,
    signing_name: "bedrock",
    host: "bedrock-runtime",
    endpoint_variable: "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    key_variable: Some("AWS_BEARER_TOKEN_BEDROCK"),
};

/// The API that tells which guardrails there are.
const CONTROL: AwsApi =
    AwsApi { host: "bedrock", endpoint_variable: "AWS_ENDPOINT_URL_BEDROCK", ..RUNTIME };

const DOCS: &str = "\
Asks a [guardrail of Amazon Bedrock](https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails.html) about messages
(`ApplyGuardrail`).

- The id that a shield has at this provider is the id or the ARN of the guardrail; its `params` name the version:
  `{\"guardrailVersion\": \"1\"}`, or `DRAFT`. Registering a shield asks Bedrock whether there is that version
  (`GetGuardrail`).
- The texts and calls of all messages are looked at, and images as PNG or JPEG that come with the message. Images at
  addresses are refused.
- Messages count as input, unless the last one is the model's: then they count as output.
- Where the guardrail intervenes, the message to the user is the one that it is configured with, or the text with what it
  has masked; its assessment is in the metadata.
- Credentials and region are found as by the provider of inference `remote::bedrock`. The role needs
  `bedrock:ApplyGuardrail` and, to register shields, `bedrock:GetGuardrail`. `endpoint_url` is that of the runtime API; that
  of the other one is the variable `AWS_ENDPOINT_URL_BEDROCK`.
";

/// Shields that are guardrails.
pub(crate) struct Bedrock {
    runtime: Service,
    control: Service,
}

impl Provider for Bedrock {
    type Api = dyn SafetyProvider;
    type Config = AwsConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        environment: aws::VARIABLES,
        ..Spec::new(Api::Safety, "remote::bedrock", "Asks guardrails of Amazon Bedrock.")
    };

    async fn build(config: AwsConfig, deps: Deps) -> Result<Arc<dyn SafetyProvider>> {
        let http = config.http(&deps);
        let runtime = config.service(&deps, RUNTIME, config.endpoint_url.clone());
        let control = config.service(&deps, CONTROL, None);
        Ok(Arc::new(Self {
            runtime: Service::new(http.clone(), runtime).await?,
            control: Service::new(http, control).await?,
        }))
    }
}

/// What a guardrail answers (Bedrock runtime API, `ApplyGuardrail`).
#[derive(Deserialize)]
struct Applied {
    action: String,
    #[serde(default)]
    outputs: Vec<Output>,
    #[serde(default)]
    assessments: Vec<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Output {
    text: String,
}

/// A guardrail (Bedrock API, `GetGuardrail`).
#[derive(Deserialize)]
struct Guardrail {
    version: String,
    #[serde(default)]
    status: String,
}

fn version(shield: &Shield) -> Result<&str> {
    let version = shield.params.as_ref().and_then(|params| params.get(VERSION));
    version.and_then(Value::as_str).filter(|version| !version.is_empty()).ok_or_else(|| {
        Error::invalid(format!(
            "the shield `{}` does not say which version of its guardrail is meant; give it \
             `params` such as `{{\"{VERSION}\": \"1\"}}`",
            shield.identifier
        ))
        .with_param("params")
    })
}

/// What Bedrock is shown of a message.
fn blocks(message: &Message) -> Result<Vec<Value>> {
    let text = words(message);
    let text = (!text.is_empty()).then(|| json!({ "text": { "text": text } }));
    let mut blocks: Vec<Value> = text.into_iter().collect();
    for image in images(message) {
        let (format, data) = picture(image)?;
        let source = json!({ "bytes": data });
        blocks.push(json!({ "image": { "format": format, "source": source } }));
    }
    Ok(blocks)
}

/// The format of an image, as Bedrock names it, and its file in base64.
fn picture(image: &UrlOrData) -> Result<(&'static str, &str)> {
    let data = match image {
        UrlOrData { url: Some(url), .. } => {
            let file = url.uri.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
            file.map(|(_, data)| data).ok_or_else(|| {
                Error::invalid(
                    "an image at an address cannot be shown to a guardrail of Bedrock; send the \
                     file itself, in `data` or as a `data:` address",
                )
            })?
        }
        UrlOrData { data, .. } => data.as_deref().unwrap_or_default(),
    };
    // The first bytes of a file of each format, in base64.
    let formats = [("iVBORw0KGgo", "png"), ("/9j/", "jpeg")];
    let known = formats.iter().find(|(start, _)| data.starts_with(start));
    let (_, format) = known.ok_or_else(|| {
        Error::invalid("a guardrail of Bedrock looks at PNG and JPEG images only")
    })?;
    Ok((format, data))
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T> {
    let body = response.bytes(ANSWER_BYTES).await?;
    serde_json::from_slice(&body)
        .map_err(|error| broken("sent an answer that cannot be understood").caused_by(error))
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Upstream { status: None }, format!("{NAME} {what}"))
}

#[async_trait]
impl Safety for Bedrock {
    async fn run_shield(
        &self,
        cx: &Context,
        shield: &Shield,
        messages: &[Message],
        _params: Option<&Map<String, Value>>,
    ) -> Result<RunShieldResponse> {
        let version = version(shield)?;
        let content: Vec<Vec<Value>> = messages.iter().map(blocks).collect::<Result<_>>()?;
        let content = content.concat();
        if content.is_empty() {
            // Bedrock takes no empty question, and nothing is nothing to object to.
            return Ok(RunShieldResponse { violation: None });
        }
        let written = matches!(messages.last(), Some(Message::Assistant(_)));
        let source = if written { "OUTPUT" } else { "INPUT" };
        let body = json!({ "source": source, "content": content });
        let path = ["guardrail", &shield.provider_resource_id, "version", version, "apply"];
        let body = Bytes::from(body.to_string());
        let (trace, repeats) = (cx.spans.parent(), Some(&cx.repeats));
        let answer = self.runtime.post(&path, body, cx.deadline, trace, repeats).await?;
        let applied: Applied = read(answer).await?;
        match applied.action.as_str() {
            "NONE" => Ok(RunShieldResponse { violation: None }),
            "GUARDRAIL_INTERVENED" => Ok(RunShieldResponse {
                violation: Some(SafetyViolation {
                    violation_level: ViolationLevel::Error,
                    user_message: applied.outputs.into_iter().next_back().map(|last| last.text),
                    metadata: applied.assessments.into_iter().next_back().unwrap_or_default(),
                }),
            }),
            other => Err(broken(&format!("answered with the unknown action `{other}`"))),
        }
    }
}

#[async_trait]
impl Hosts<Shield> for Bedrock {
    async fn on_register(&self, shield: Shield) -> Result<Shield> {
        let (id, wanted) = (shield.provider_resource_id.as_str(), version(&shield)?);
        let missing = || {
            Error::invalid(format!(
                "there is no guardrail `{id}` with the version `{wanted}` in Bedrock; look at those \
                 of the account with `aws bedrock list-guardrails`"
            ))
        };
        let path = ["guardrails", id];
        let answer = self.control.get(&path, &[(VERSION, wanted)], None).await;
        let guardrail: Guardrail = match answer {
            Ok(response) => read(response).await?,
            Err(error) if error.kind == (ErrorKind::Upstream { status: Some(404) }) => {
                return Err(missing().caused_by(error));
            }
            Err(error) => return Err(error),
        };
        if guardrail.version != wanted {
            return Err(missing());
        }
        if matches!(guardrail.status.as_str(), "FAILED" | "DELETING") {
            let status = &guardrail.status;
            let message = format!("the guardrail `{id}` cannot be used: it is `{status}`");
            return Err(Error::invalid(message));
        }
        Ok(shield)
    }
}

#[async_trait]
impl Lifecycle for Bedrock {
    async fn check(&self) -> Result<()> {
        self.runtime.check().await
    }
}
