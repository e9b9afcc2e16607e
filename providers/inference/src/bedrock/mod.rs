//! Amazon Bedrock: chats by its Converse API, vectors by `InvokeModel`.

mod answer;
mod embeddings;
mod failure;
mod request;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod tools;

use crate::{
    head::{Head, usage_wanted},
    images,
    llama_models::{self, Alias},
};
use async_trait::async_trait;
use bytes::Bytes;
use chaski_api::{
    Api, Error, ErrorKind, Reader, Result, Secret,
    models::Model,
    openai::{ChatRequest, EmbeddingRequest},
    wire::{Above, AtLeast, Between},
};
use chaski_provider::{
    ChatReply, Context, Deps, EmbeddingReply, Hosts, Inference, InferenceProvider, Lifecycle,
    Payload, Provider, ProviderConfig, Reply, Spec,
};
use chaski_upstream::{
    Http, Response,
    aws::{self, Service, ServiceOptions, Sources},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const NAME: &str = "Bedrock";
/// The largest answer that is not a stream.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// How AWS's tools may repeat calls; the names that the reference accepts.
const RETRY_MODES: &[&str] = &["legacy", "standard", "adaptive"];

/// Bedrock's names of the Llama models.
const ALIASES: &[Alias] = &[
    Alias::llama("meta.llama3-1-8b-instruct-v1:0", "Llama3.1-8B-Instruct")
        .or(&["meta-llama/Llama-3.1-8B-Instruct"]),
    Alias::llama("meta.llama3-1-70b-instruct-v1:0", "Llama3.1-70B-Instruct")
        .or(&["meta-llama/Llama-3.1-70B-Instruct"]),
    Alias::llama("meta.llama3-1-405b-instruct-v1:0", "Llama3.1-405B-Instruct")
        .or(&["meta-llama/Llama-3.1-405B-Instruct-FP8"]),
];

const DOCS: &str = "\
Serves the models of [Amazon Bedrock](https://docs.aws.amazon.com/bedrock/), of every vendor that has
them there.

- A model is named by its id, the id of an inference profile, or an ARN:
  `anthropic.claude-3-5-sonnet-20241022-v2:0`, `us.meta.llama3-3-70b-instruct-v1:0`. The names of
  Meta's Llama 3.1 models are accepted too (`meta-llama/Llama-3.1-8B-Instruct`).
- Chats go through the Converse API, with tools, images (PNG, JPEG, GIF, WebP), reasoning and JSON
  schemas as far as the model has them. Images at addresses are fetched by this server; private
  addresses are refused unless `server.egress_allow` lists them.
- `top_k` is sent to the models that take it. What Converse does not have is left out: `seed`,
  penalties, `min_p`, `logit_bias`, `user`. Several answers (`n`) and log probabilities are refused.
- Embeddings go through InvokeModel, for the models of Amazon Titan and of Cohere.
- Credentials come from the configuration, or are looked for where AWS's own tools look: the
  environment variables, a web identity token (EKS), the profile in `~/.aws`, the endpoint of the
  container (ECS, EKS), the role of the machine (EC2, version 2 of its metadata service). Temporary
  ones are renewed before they expire. An API key of Bedrock in `AWS_BEARER_TOKEN_BEDROCK` is sent in
  place of a signature. Profiles with `sso_*` or `credential_process` are not supported.
- The region comes from `region_name`, `AWS_REGION`, `AWS_DEFAULT_REGION` or the profile.
";

chaski_api::wire! {
    /// The configuration of `remote::bedrock`.
    pub struct BedrockConfig {
        /// The id of an access key; without one, credentials are looked for.
        pub aws_access_key_id: Option<Secret>,
        /// The secret of the access key.
        pub aws_secret_access_key: Option<Secret>,
        /// The session token of temporary credentials.
        pub aws_session_token: Option<Secret>,
        /// The region, such as `us-east-1`.
        pub region_name: Option<String>,
        /// The profile in `~/.aws/config` and `~/.aws/credentials` to take credentials and region from.
        pub profile_name: Option<String>,
        /// How often a call is tried, the first time included; as often as calls of other
        /// providers by default.
        pub total_max_attempts: Option<AtLeast<1>>,
        /// `legacy`, `standard` or `adaptive`; accepted, and all the same here.
        pub retry_mode: Option<String>,
        /// How long connecting may take, in seconds; as long as for other providers by default.
        pub connect_timeout: Option<Above<0>>,
        /// How long an answer may take to begin and may pause, in seconds; as long as those of other
        /// providers by default.
        pub read_timeout: Option<Above<0>>,
        /// How long sessions of roles last, in seconds.
        pub session_ttl: Option<Between<900, 43200>> = Some(Between(3600)),
        /// Another address of Bedrock's runtime API, such as that of a VPC endpoint.
        pub endpoint_url: Option<String>,
    }
}

impl ProviderConfig for BedrockConfig {
    fn sample(_dir: &str) -> Value {
        json!({})
    }

    fn validate(&self, reader: &mut Reader) {
        if self.aws_access_key_id.is_some() != self.aws_secret_access_key.is_some() {
            let (given, missing) = match self.aws_access_key_id {
                Some(_) => ("aws_access_key_id", "aws_secret_access_key"),
                None => ("aws_secret_access_key", "aws_access_key_id"),
            };
            reader.key(missing, |reader| {
                reader.issue::<()>("missing", format!("Field required with `{given}`"))
            });
        }
        if let Some(mode) = &self.retry_mode
            && !RETRY_MODES.contains(&mode.as_str())
        {
            let accepted = chaski_api::wire::alternatives(RETRY_MODES);
            reader.key("retry_mode", |reader| {
                reader.issue::<()>("enum", format!("Input should be {accepted}"))
            });
        }
    }
}

/// The provider `remote::bedrock`.
pub(crate) struct Bedrock {
    http: Http,
    service: Service,
}

impl Provider for Bedrock {
    type Api = dyn InferenceProvider;
    type Config = BedrockConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        environment: aws::VARIABLES,
        ..Spec::new(Api::Inference, "remote::bedrock", "Models of Amazon Bedrock.")
    };

    async fn build(config: BedrockConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let seconds = |limit: Above<0>| {
            Duration::try_from_secs_f64(limit.0).unwrap_or(Duration::MAX).min(LONGEST)
        };
        let retries = config.total_max_attempts.map(|attempts| attempts.0 - 1);
        let retries = retries.map(|retries| u32::try_from(retries).unwrap_or(u32::MAX));
        let options = ServiceOptions {
            name: NAME,
            signing_name: "bedrock",
            host: "bedrock-runtime",
            endpoint_variable: "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
            key_variable: Some("AWS_BEARER_TOKEN_BEDROCK"),
            endpoint: config.endpoint_url,
            region: config.region_name,
            sources: Sources {
                access_key_id: config.aws_access_key_id,
                secret_access_key: config.aws_secret_access_key,
                session_token: config.aws_session_token,
                profile: config.profile_name.filter(|name| !name.is_empty()),
                session_lifetime: config
                    .session_ttl
                    .and_then(|seconds| u64::try_from(seconds.0).ok().map(Duration::from_secs)),
                variables: deps.environment.to_map(),
            },
            retries: retries.unwrap_or_else(|| deps.http.retries()),
            read_timeout: config.read_timeout.map(seconds),
        };
        let http = match config.connect_timeout.map(seconds) {
            Some(limit) => deps.http.adjusted(|options| options.connect_timeout = limit),
            None => deps.http,
        };
        let service = Service::new(http.clone(), options).await?;
        Ok(Arc::new(Self { http, service }))
    }
}

/// Longer limits are as good as none.
const LONGEST: Duration = Duration::from_hours(24 * 365);

#[async_trait]
impl Inference for Bedrock {
    async fn chat(&self, cx: &Context, mut request: ChatRequest) -> Result<ChatReply> {
        images::inline(&self.http, &mut request).await?;
        let body = request::translate(&request)?;
        let operation = if request.stream() { "converse-stream" } else { "converse" };
        let path = ["model", request.model(), operation];
        let response = self.service.post(&path, Bytes::from(body.to_string()), cx.deadline).await?;
        let head = Head::of_chat(request.model());
        if !request.stream() {
            let answer = read(response).await?;
            return Ok(Reply::Full(Payload::Value(answer::completion(head, answer)?)));
        }
        let media_type = response.media_type();
        if media_type != stream::MEDIA_TYPE {
            let what = format!("answered with `{media_type}` in place of a stream of events");
            return Err(broken(&what));
        }
        let usage = usage_wanted(request.body.get("stream_options"));
        Ok(Reply::Stream(stream::events(response.stream(), head, usage)))
    }

    async fn embeddings(&self, cx: &Context, request: EmbeddingRequest) -> Result<EmbeddingReply> {
        embeddings::embed(&self.service, cx, &request).await.map(Payload::Value)
    }
}

#[async_trait]
impl Hosts<Model> for Bedrock {
    /// Which models an account may use is known to Bedrock only when one is called.
    async fn on_register(&self, model: Model) -> Result<Model> {
        llama_models::resolve(model, ALIASES)
    }
}

#[async_trait]
impl Lifecycle for Bedrock {
    async fn check(&self) -> Result<()> {
        self.service.check().await
    }
}

/// The whole answer.
async fn read<T: serde::de::DeserializeOwned>(response: Response) -> Result<T> {
    let body = response.bytes(ANSWER_BYTES).await?;
    serde_json::from_slice(&body).map_err(|error| unclear().caused_by(error))
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::Upstream { status: None }, format!("{NAME} {what}"))
}

fn unclear() -> Error {
    broken("sent an answer that cannot be understood")
}
