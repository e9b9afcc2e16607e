//! A server on a free port, and clients for it.

use super::{guards, provider, store};
use crate::{Server, ServerOptions};
use chaski_api::Wire;
use chaski_provider::{Deps, Environment, Tasks};
use chaski_stack::{Catalog, Data, RunConfig, Stack, StackOptions};
use chaski_store::Memory;
use chaski_testkit::{PATIENCE, within};
use chaski_upstream::{Http, HttpOptions, Request, Tls, Url};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

/// A running server. It stops when it is dropped.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    scheme: &'static str,
    tls: Tls,
    http: Http,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and body in one, to compare with.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.status, self.text)
    }
}

fn deps(http: Http) -> Deps {
    Deps {
        http,
        weights_dir: PathBuf::new(),
        compute_threads: 1,
        cpu: chaski_provider::Cpu::new(1),
        documents: chaski_provider::Documents::in_process(),
        environment: Environment::default(),
        tasks: Tasks::default(),
        routers: chaski_provider::Routers::default(),
    }
}

/// A stack with one provider.
pub(super) async fn stack() -> Arc<Stack> {
    stack_with(json!({})).await
}

async fn stack_with(more: Value) -> Arc<Stack> {
    let mut config = json!({
        "version": "2", "image_name": "t",
        "providers": { "inference": [
            { "provider_id": "told", "provider_type": "remote::vllm", "config": {} },
        ] },
        "models": [
            { "model_id": "m", "provider_id": "told" },
            { "model_id": "a/b", "provider_id": "told" },
            { "model_id": "e", "provider_id": "told", "model_type": "embedding",
              "metadata": { "embedding_dimension": 3 } },
        ],
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    let data_dir = config["data_dir"].as_str().map_or_else(std::env::temp_dir, PathBuf::from);
    Stack::start(StackOptions {
        config: RunConfig::from_json(config).unwrap(),
        raw: Value::Null,
        catalog: Catalog {
            inference: provider::ALL,
            vector_io: store::ALL,
            tool_runtime: guards::TOOLS,
            safety: guards::SHIELDS,
            agents: chaski_providers_agents::ALL,
            datasetio: chaski_providers_datasetio::ALL,
            telemetry: chaski_providers_telemetry::ALL,
        },
        deps: deps(Http::new(HttpOptions::default()).unwrap()),
        store: Arc::new(Memory::default()),
        data: Data::in_memory(&data_dir).unwrap(),
    })
    .await
    .unwrap()
}

/// Starts a server with the models `m` and `e`.
pub(super) async fn start(options: ServerOptions) -> Running {
    start_with(options, json!({ "apis": ["inference", "agents"] })).await
}

/// The same, with more in its run configuration.
pub(super) async fn start_with(mut options: ServerOptions, more: Value) -> Running {
    let stack = stack_with(more).await;
    let http = Http::new(HttpOptions::default()).unwrap();
    if options.listen.is_empty() {
        options.listen = vec!["127.0.0.1:0".parse().unwrap()];
    }
    let (scheme, tls) = match &options.tls {
        Some(files) => ("https", Tls::Authorities(files.cert.clone())),
        None => ("http", Tls::Verified),
    };
    let server = Server::bind(options, stack).await.unwrap();
    let address = server.addresses()[0];
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(async {
        let _dropped = stopped.await;
    }));
    Running { address, scheme, tls, http, stop: Some(stop), task }
}

/// Starts a server whose model `m` is at the upstream at `url`, called with these limits.
pub(super) async fn start_relaying(options: ServerOptions, url: &str, network: Value) -> Running {
    let more = json!({
        "providers": { "inference": [
            { "provider_id": "far", "provider_type": "remote::openai", "config": { "url": url },
              "network": network },
            { "provider_id": "told", "provider_type": "remote::vllm", "config": {} },
        ] },
        "models": [
            { "model_id": "m", "provider_id": "far" },
            { "model_id": "near", "provider_id": "told" },
        ],
    });
    start_with(options, more).await
}

/// Whether an event says that the stream failed.
pub(super) fn is_error(event: &str) -> bool {
    serde_json::from_str::<Value>(event).is_ok_and(|event| event.get("error").is_some())
}

/// The data of the events of a stream, comments left out.
pub(super) fn events_of(text: &str) -> Vec<&str> {
    text.split_terminator("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
}

impl Running {
    /// Tells the server to stop.
    pub(super) fn stop(&mut self) {
        let _gone = self.stop.take().unwrap().send(());
    }

    /// Waits until the server has ended.
    pub(super) async fn ended(mut self) {
        within("the end of the server", &mut self.task).await.unwrap();
    }

    pub(super) fn request(&self, method: Method, path: &str) -> Request {
        let url = format!("{}://{}{path}", self.scheme, self.address);
        Request::new("the server", method, Url::parse(&url).unwrap()).tls(self.tls.clone())
    }

    pub(super) async fn send(&self, request: Request) -> Answer {
        within("an answer", async {
            let response = self.http.send(request).await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = response.bytes(1 << 28).await.unwrap();
            Answer { status, headers, text: String::from_utf8(body.into()).unwrap() }
        })
        .await
    }

    /// The body as it comes.
    pub(super) async fn open(&self, request: Request) -> chaski_upstream::ByteStream {
        within("the head of an answer", self.http.send(request)).await.unwrap().stream()
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(super) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(adorned(self.request(Method::GET, path), headers)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, body, &[]).await
    }

    pub(super) async fn post_with(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let request = self.request(Method::POST, path).json(body.to_string());
        self.send(adorned(request, headers)).await
    }

    /// A chat in OpenAI's form with this one message.
    pub(super) async fn chat(&self, text: &str) -> Answer {
        self.post("/v1/chat/completions", &chat(text, false)).await
    }

    /// What is answered to these bytes, up to the end of the connection.
    pub(super) async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        // The server may answer and close before it has taken everything.
        let _closed = connection.write_all(bytes.as_ref()).await;
        let mut answer = Vec::new();
        let reading = connection.read_to_end(&mut answer);
        let _reset = tokio::time::timeout(PATIENCE, reading).await.expect("the connection to end");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A request with this head line, headers and body, on a connection of its own.
    pub(super) async fn raw_request(&self, line: &str, headers: &str, body: &[u8]) -> String {
        let head = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.raw([head.as_bytes(), body].concat()).await
    }
}

pub(super) fn adorned(mut request: Request, headers: &[(&str, &str)]) -> Request {
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request = request.header(name, HeaderValue::from_str(value).unwrap());
    }
    request
}

/// A chat request in OpenAI's form.
pub(super) fn chat(text: &str, stream: bool) -> Value {
    let messages = json!([{ "role": "user", "content": text }]);
    json!({ "model": "m", "messages": messages, "stream": stream })
}

/// A chat request in Llama Stack's form.
pub(super) fn llama_chat(text: &str, stream: bool) -> Value {
    let messages = json!([{ "role": "user", "content": text }]);
    json!({ "model_id": "m", "messages": messages, "stream": stream })
}

/// The status of a raw answer.
pub(super) fn status_of(raw: &str) -> u16 {
    raw.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}
