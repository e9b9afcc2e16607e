//! Amazon Bedrock: chats by its Converse API, vectors by `InvokeModel`.

mod answer;
mod embeddings;
mod failure;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
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
    Api, Error, ErrorKind, Result,
    models::Model,
    openai::{ChatRequest, EmbeddingRequest},
};
use chaski_provider::{
    AwsApi, AwsConfig, ChatReply, Context, Deps, EmbeddingReply, Hosts, Inference,
    InferenceProvider, Lifecycle, Payload, Provider, Reply, Spec,
};
use chaski_upstream::{
    Http, Response,
    aws::{self, Service},
};
use std::sync::Arc;

const NAME: &str = "Bedrock";
/// The largest answer that is not a stream.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// The API that models are asked by.
const RUNTIME: AwsApi = AwsApi {
    name: NAME,
    signing_name: "bedrock",
    host: "bedrock-runtime",
    endpoint_variable: "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    key_variable: Some("AWS_BEARER_TOKEN_BEDROCK"),
};

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
- Models of Anthropic think if a request says so in their form:
  `\"thinking\": {\"type\": \"enabled\", \"budget_tokens\": 4096}`. They want their thoughts back after calls
  of tools: send the message of the model with its `thinking_blocks`, as it came. In a stream a block
  comes as a whole, at its end.
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

/// The provider `remote::bedrock`.
pub(crate) struct Bedrock {
    http: Http,
    service: Service,
}

impl Provider for Bedrock {
    type Api = dyn InferenceProvider;
    type Config = AwsConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        environment: aws::VARIABLES,
        ..Spec::new(Api::Inference, "remote::bedrock", "Models of Amazon Bedrock.")
    };

    async fn build(config: AwsConfig, deps: Deps) -> Result<Arc<Self::Api>> {
        let http = config.http(&deps);
        let options = config.service(&deps, RUNTIME, config.endpoint_url.clone());
        let service = Service::new(http.clone(), options).await?;
        Ok(Arc::new(Self { http, service }))
    }
}

#[async_trait]
impl Inference for Bedrock {
    async fn chat(&self, cx: &Context, mut request: ChatRequest) -> Result<ChatReply> {
        images::inline(&self.http, &mut request).await?;
        let body = request::translate(&request)?;
        let operation = if request.stream() { "converse-stream" } else { "converse" };
        let path = ["model", request.model(), operation];
        let body = Bytes::from(body.to_string());
        let (trace, repeats) = (cx.spans.parent(), Some(&cx.repeats));
        let response = self.service.post(&path, body, cx.deadline, trace, repeats).await?;
        read_chat(response, &request).await
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

/// The answer in a response to this request.
async fn read_chat(response: Response, request: &ChatRequest) -> Result<ChatReply> {
    let head = Head::of_chat(request.model());
    let stops = request::stops(&request.body);
    if !request.stream() {
        let answer = read(response).await?;
        return Ok(Reply::Full(answer::completion(head, answer, &stops)?));
    }
    let media_type = response.media_type();
    if media_type != stream::MEDIA_TYPE {
        let what = format!("answered with `{media_type}` in place of a stream of events");
        return Err(broken(&what));
    }
    let usage = usage_wanted(request.body.get("stream_options"));
    Ok(Reply::Stream(stream::events(response.stream(), head, usage, stops)))
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
