//! What an endpoint is: declared once, as a type, and listed in one table.

use crate::{
    Api, Issue,
    wire::{Schemas, Wire},
};
use serde_json::Value;

/// An HTTP method of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Post,
    Delete,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Whose API an endpoint belongs to; decides how its errors look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Face {
    LlamaStack,
    OpenAi,
    Anthropic,
}

/// The form of what a request or an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Media {
    Json,
    /// A form with parts, one of which may be a file.
    Form,
    /// A file as it is.
    Bytes,
}

impl Media {
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "multipart/form-data",
            Self::Bytes => "application/octet-stream",
        }
    }
}

/// The facts of an endpoint that are not types.
#[derive(Debug, Clone, Copy)]
pub struct EndpointSpec {
    /// The API that owns the endpoint; it is served when the API is.
    pub api: Api,
    pub method: Method,
    /// The path, with parameters as `{name}` (one segment) or `{name:path}` (the rest, slashes
    /// included, may be empty).
    pub path: &'static str,
    /// The name of the operation, unique together with the API.
    pub operation: &'static str,
    /// One sentence.
    pub summary: &'static str,
    pub face: Face,
    /// Whether the answer is a stream of events when the body says `"stream": true`.
    pub streams: bool,
    /// Whether it answers without authentication.
    pub public: bool,
    /// The form of the body of a `POST`.
    pub takes: Media,
    /// The form of the answer.
    pub gives: Media,
}

impl EndpointSpec {
    /// What the endpoints of an API of Llama Stack have in common: they need authentication, do not
    /// stream, and carry JSON.
    pub const fn of(api: Api) -> Self {
        Self {
            api,
            method: Method::Get,
            path: "",
            operation: "",
            summary: "",
            face: Face::LlamaStack,
            streams: false,
            public: false,
            takes: Media::Json,
            gives: Media::Json,
        }
    }

    /// A Llama Stack endpoint that needs authentication and does not stream.
    pub const fn new(
        api: Api,
        method: Method,
        path: &'static str,
        operation: &'static str,
        summary: &'static str,
    ) -> Self {
        Self { method, path, operation, summary, ..Self::of(api) }
    }

    /// The names of the path parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('{').skip(1).filter_map(|rest| {
            let name = rest.split('}').next()?;
            Some(name.split(':').next().unwrap_or(name))
        })
    }
}

/// One endpoint. Parameters of the path and of the query are fields of the request, by name; a
/// `POST` takes its other fields from the JSON body, the other methods from the query.
pub trait Endpoint: 'static {
    type Request: Wire + Send;
    type Response: Wire + Send;
    /// The events of the stream; `()` where it does not stream.
    type Event: Wire + Send;
    const SPEC: EndpointSpec;
}

/// The erased form of an [`Endpoint`], so that all can stand in one table.
#[derive(Clone, Copy)]
pub struct Described {
    pub spec: EndpointSpec,
    /// The types, or nothing for an endpoint that is reserved but not served by this build.
    pub types: Option<Types>,
}

/// The schemas of an endpoint.
#[derive(Clone, Copy)]
pub struct Types {
    pub request: fn(&mut Schemas) -> Value,
    pub response: fn(&mut Schemas) -> Value,
    pub event: fn(&mut Schemas) -> Value,
    /// What is wrong with a request; nothing if it can be read.
    pub problems: fn(Value) -> Vec<Issue>,
}

impl Described {
    pub const fn of<E: Endpoint>() -> Self {
        Self {
            spec: E::SPEC,
            types: Some(Types {
                request: E::Request::schema,
                response: E::Response::schema,
                event: E::Event::schema,
                problems: |value| E::Request::from_json(value).err().unwrap_or_default(),
            }),
        }
    }

    /// An endpoint of the Llama Stack API that this build does not serve: it answers 501.
    pub const fn reserved(
        api: Api,
        method: Method,
        path: &'static str,
        operation: &'static str,
    ) -> Self {
        Self { spec: EndpointSpec::new(api, method, path, operation, ""), types: None }
    }
}
