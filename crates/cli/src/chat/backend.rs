//! Who answers: a server, or a stack inside this process. Both speak OpenAI's API.

use crate::{
    boot,
    environment::{Environment, PORT},
    failure::{Failure, Outcome},
    source,
};
use chaski_api::{
    Error, Result, Secret,
    models::ModelType,
    openai::{ChatChunk, ChatCompletion, ChatRequest},
};
use chaski_provider::{Context, EventStream, Payload, Reply};
use chaski_stack::Stack;
use chaski_upstream::{
    Http, Request, Tls, Url,
    openai::{Answer, Call, Connection, Dialect, Settings},
};
use futures_util::StreamExt;
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// How long a server on this machine may take to show that it is there.
const PROBE: Duration = Duration::from_millis(500);
/// How long the stack inside may take to know which models it has.
const SETTLING: Duration = Duration::from_secs(5);
/// The largest list of models.
const LIST_BYTES: usize = 16 << 20;

const DIALECT: Dialect = Dialect { name: "the server", ..Dialect::OPENAI };

/// The pieces of an answer, as text.
pub(super) type Pieces = EventStream<String>;

pub(super) enum Backend {
    Server { http: Http, url: String, key: Option<Secret>, connection: Box<Connection> },
    Inside(Arc<Stack>),
}

impl Backend {
    /// The server at `url`.
    pub(super) fn server(url: &str, key: Option<&str>, environment: &Environment) -> Outcome<Self> {
        let trimmed = url.trim_end_matches('/');
        let url =
            if trimmed.ends_with("/v1") { trimmed.to_owned() } else { format!("{trimmed}/v1") };
        let http = environment.http()?;
        let key = key.map(Secret::new);
        let settings = Settings {
            url: url.clone(),
            tls: Tls::Verified,
            key: key.clone(),
            max_tokens: None,
            ..Settings::default()
        };
        let connection = Box::new(Connection::new(http.clone(), &DIALECT, settings)?);
        Ok(Self::Server { http, url, key, connection })
    }

    /// The server on this machine, if one answers.
    pub(super) async fn running(environment: &Environment, key: Option<&str>) -> Option<Self> {
        let port = environment.get(PORT).and_then(|port| port.parse().ok()).unwrap_or(8321_u16);
        let url = format!("http://127.0.0.1:{port}");
        let health = Url::parse(&format!("{url}/v1/health")).ok()?;
        let http = environment.http().ok()?;
        let request = Request::get("the server", health).first_byte_timeout(PROBE);
        let answer = http.send(request).await.ok()?.success().await.ok()?;
        let health: Value = serde_json::from_slice(&answer.bytes(4096).await.ok()?).ok()?;
        health["status"].as_str()?;
        Self::server(&url, key, environment).ok()
    }

    /// A stack inside this process.
    pub(super) async fn inside(config: &str, environment: &Environment) -> Outcome<Self> {
        let found = source::find(config, &environment.config_dir()?)?;
        let loaded = source::load(&found, environment)?;
        let stack = boot::stack(loaded, environment).await?;
        boot::settled(&stack, SETTLING).await;
        Ok(Self::Inside(stack))
    }

    /// How it is called in messages.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Server { url, .. } => format!("at {url}"),
            Self::Inside(_) => "inside this process".to_owned(),
        }
    }

    /// The models that generate text.
    pub(super) async fn models(&self) -> Outcome<Vec<String>> {
        match self {
            Self::Inside(stack) => Ok(stack
                .models
                .list()
                .into_iter()
                .filter(|model| model.model_type == ModelType::Llm)
                .map(|model| model.identifier)
                .collect()),
            Self::Server { http, url, key, .. } => {
                let list = format!("{url}/models");
                let list = Url::parse(&list)
                    .map_err(|error| Failure::failed(format!("`{list}`: {error}")))?;
                let mut request = Request::get("the server", list);
                if let Some(key) = key {
                    request = request.bearer(key)?;
                }
                let answer = http.send(request).await?.success().await?;
                let list: Value = serde_json::from_slice(&answer.bytes(LIST_BYTES).await?)
                    .map_err(|error| Failure::failed(format!("the list of models: {error}")))?;
                let models = list["data"].as_array().into_iter().flatten();
                // A server of another make does not say what its models do.
                let models = models.filter(|model| model["model_type"] != "embedding");
                let ids = models
                    .filter_map(|model| model["id"].as_str().or(model["identifier"].as_str()));
                Ok(ids.map(str::to_owned).collect())
            }
        }
    }

    /// Sends the conversation; the answer comes in pieces.
    pub(super) async fn say(&self, model: &str, messages: Vec<Value>) -> Result<Pieces> {
        let mut request = ChatRequest::new(model, messages);
        request.body.insert("stream".to_owned(), true.into());
        match self {
            Self::Inside(stack) => {
                match stack.inference.chat(&Context::default(), request).await? {
                    Reply::Stream(events) => Ok(events.map(|event| text_of(event?)).boxed()),
                    Reply::Full(answer) => whole(answer),
                }
            }
            Self::Server { connection, .. } => {
                match connection.chat(Call::default(), request).await? {
                    Answer::Stream(events) => {
                        Ok(events.map(|event| text_of(Payload::Raw(event?))).boxed())
                    }
                    Answer::Full(answer) => whole(Payload::Raw(answer)),
                }
            }
        }
    }

    pub(super) async fn close(&self) {
        if let Self::Inside(stack) = self {
            stack.shutdown().await;
        }
    }
}

fn text_of(event: Payload<ChatChunk>) -> Result<String> {
    let choices = event.into_value()?.choices;
    Ok(choices.into_iter().next().and_then(|choice| choice.delta.content).unwrap_or_default())
}

fn whole(answer: Payload<ChatCompletion>) -> Result<Pieces> {
    let choice = answer.into_value()?.choices.into_iter().next();
    let text = choice.and_then(|choice| choice.message.content);
    let text = text.ok_or_else(|| Error::unavailable("the model answered with nothing"))?;
    Ok(futures_util::stream::once(std::future::ready(Ok(text))).boxed())
}
