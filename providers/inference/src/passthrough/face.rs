//! Which face a Llama Stack server has, and where it is.

use super::{NAME, native::Native};
use crate::adapter::LISTING;
use chaski_api::{Error, ErrorKind, Result, Secret};
use chaski_upstream::{
    Http, Request, Url,
    openai::{Call, Connection, Dialect, Settings},
};
use http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

const DIALECT: Dialect = Dialect { name: NAME, ..Dialect::OPENAI };
/// Where Llama Stack servers list their routes.
const ROUTES: &str = "/v1/inspect/routes";
/// Where servers may have OpenAI's routes: today's first, then those of Llama Stack 0.2.
const OPENAI_BASES: [&str; 2] = ["/v1", "/v1/openai/v1"];
const LIST_BYTES: usize = 4 * 1024 * 1024;

/// What is known of a server that a caller named is forgotten after this time,
const FRESH: Duration = Duration::from_mins(5);
/// or when so many others are known.
const MOST_KNOWN: usize = 1024;

/// How a server is spoken to.
#[derive(Clone)]
pub(super) enum Face {
    OpenAi(Box<Connection>),
    LlamaStack(Native),
}

/// The faces, as they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// With what stands before OpenAI's paths.
    OpenAi(&'static str),
    LlamaStack,
}

/// A server with its address and key.
pub(super) struct Server {
    http: Http,
    base: Url,
    key: Option<Secret>,
    face: RwLock<Option<Face>>,
}

impl Server {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidRequest` if the URL is none.
    pub(super) fn new(http: Http, url: &str, key: Option<Secret>) -> Result<Self> {
        let base = base(url)?;
        let key = key.filter(|key| !key.is_empty());
        Ok(Self { http, base, key, face: RwLock::default() })
    }

    /// Whether the URL leads to this server.
    pub(super) fn is_at(&self, url: &str) -> bool {
        base(url).is_ok_and(|base| base == self.base)
    }

    /// The face of the server, looked up on first use.
    ///
    /// # Errors
    /// Why the server does not say which it has.
    pub(super) async fn face(&self, call: Call<'_>) -> Result<Face> {
        let known = self.face.read().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(face) => Ok(face),
            None => self.look_up(call).await,
        }
    }

    /// Asks the server which face it has.
    ///
    /// # Errors
    /// Why it does not say.
    pub(super) async fn look_up(&self, call: Call<'_>) -> Result<Face> {
        let kind = self.kind(call).await?;
        let face = self.speaking(kind)?;
        *self.face.write().unwrap_or_else(PoisonError::into_inner) = Some(face.clone());
        Ok(face)
    }

    async fn kind(&self, call: Call<'_>) -> Result<Kind> {
        #[derive(Deserialize)]
        struct Route {
            route: String,
        }
        let request = self.request(Request::get(NAME, at(&self.base, ROUTES)), call)?;
        let request = request.first_byte_timeout(LISTING).read_timeout(LISTING);
        let response = self.http.send(request.deadline(call.deadline)).await?;
        if response.status() == StatusCode::NOT_FOUND {
            // No Llama Stack server: then it speaks OpenAI's API, if anything.
            return Ok(Kind::OpenAi(OPENAI_BASES[0]));
        }
        let routes: Vec<Route> = data(response.success().await?).await?;
        let has = |base: &str| {
            let chat = format!("{base}/chat/completions");
            routes.iter().any(|route| route.route == chat)
        };
        let base = OPENAI_BASES.into_iter().find(|base| has(base));
        Ok(base.map_or(Kind::LlamaStack, Kind::OpenAi))
    }

    fn speaking(&self, kind: Kind) -> Result<Face> {
        match kind {
            Kind::OpenAi(path) => {
                let settings = Settings {
                    url: at(&self.base, path).into(),
                    key: self.key.clone(),
                    ..Settings::default()
                };
                let connection = Connection::new(self.http.clone(), &DIALECT, settings)?;
                Ok(Face::OpenAi(Box::new(connection)))
            }
            Kind::LlamaStack => {
                Ok(Face::LlamaStack(Native::new(self.http.clone(), &self.base, self.key.clone())))
            }
        }
    }

    /// The entries of a list of the server.
    ///
    /// # Errors
    /// What the server answers, or that it does not within `limit`.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        limit: Duration,
    ) -> Result<Vec<T>> {
        let request = self.request(Request::get(NAME, at(&self.base, path)), Call::default())?;
        let request = request.first_byte_timeout(limit).read_timeout(limit);
        data(self.http.send(request).await?.success().await?).await
    }

    fn request(&self, request: Request, call: Call<'_>) -> Result<Request> {
        equipped(request, self.key.as_ref(), call)
    }
}

/// Adds the key of the caller, or else the one of the configuration.
pub(super) fn equipped(request: Request, key: Option<&Secret>, call: Call<'_>) -> Result<Request> {
    match (call.key, key) {
        (Some(key), _) => request.bearer(&Secret::new(key)),
        (None, Some(key)) => request.bearer(key),
        (None, None) => Ok(request),
    }
}

/// Which faces the servers have that callers named.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<Url, (Kind, Instant)>>);

impl Known {
    /// The face of the server at `url`, by a client that connects to public addresses only.
    ///
    /// # Errors
    /// `InvalidRequest` if the address is none or not allowed, and why the server does not say
    /// which face it has.
    pub(super) async fn face(&self, public: &Http, url: &str, call: Call<'_>) -> Result<Face> {
        // The key of the configuration is for its own server.
        let server = Server::new(public.clone(), url, None)?;
        let known = {
            let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kinds
                .get(&server.base)
                .filter(|(_, since)| since.elapsed() < FRESH)
                .map(|(kind, _)| *kind)
        };
        if let Some(kind) = known {
            return server.speaking(kind);
        }
        let kind = server.kind(call).await?;
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.len() >= MOST_KNOWN {
            kinds.clear();
        }
        kinds.insert(server.base.clone(), (kind, Instant::now()));
        server.speaking(kind)
    }
}

/// The entries of a list, which both faces put into `data`.
async fn data<T: DeserializeOwned>(response: chaski_upstream::Response) -> Result<Vec<T>> {
    #[derive(Deserialize)]
    struct List<T> {
        data: Vec<T>,
    }
    let text = response.bytes(LIST_BYTES).await?;
    let list: List<T> = serde_json::from_slice(&text).map_err(|error| {
        let message = format!("{NAME} sent a list that cannot be understood");
        Error::new(ErrorKind::Upstream { status: None }, message).caused_by(error)
    })?;
    Ok(list.data)
}

/// The address without `/v1` at its end.
fn base(text: &str) -> Result<Url> {
    let text = text.trim().trim_end_matches('/');
    let text = text.strip_suffix("/v1").unwrap_or(text);
    let url = Url::parse(text).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(|| {
        let example = "use one such as `http://localhost:8321`";
        Error::invalid(format!("the URL of {NAME} is not a web address; {example}"))
    })
}

pub(super) fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}
