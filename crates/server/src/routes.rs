//! Handlers, attached to the endpoints that `chaski_api` declares.
//!
//! A handler is given the request as the type that its endpoint declares, and answers with the
//! declared type. Reading, encoding, errors and streams happen here, for all of them.

use crate::{
    app::App,
    body::ResponseBody,
    input::{Input, Shape},
    pipeline::Unread,
    streamed::Asked,
};
use bytes::Bytes;
use chaski_api::{Endpoint, EndpointSpec, Method, Result};
use chaski_provider::{Context, EventStream, Payload, Reply};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use http::Response;
use std::{collections::HashMap, future::Future, sync::Arc};

/// The answer of an endpoint that may stream: at once, or as events.
pub(crate) type Answer<E> = Reply<<E as Endpoint>::Response, <E as Endpoint>::Event>;

/// What a handler answered, as JSON text.
pub(crate) enum Answered {
    Json(Bytes),
    Events(BoxStream<'static, Result<Bytes>>),
}

pub(crate) type Handler =
    dyn Fn(App, Context, Input) -> BoxFuture<'static, Result<Answered>> + Send + Sync + 'static;

/// The answer of a handler of its own bytes.
pub(crate) type Answering = BoxFuture<'static, Result<Response<ResponseBody>, Unread>>;

type RawHandler = dyn Fn(App, Context, Asked) -> Answering + Send + Sync + 'static;

/// What answers.
#[derive(Clone)]
pub(crate) enum Handling {
    /// The body is read as the type that the endpoint declares, and the answer is JSON or events.
    Typed(Arc<Handler>),
    /// The handler reads the body as it comes, and writes the answer.
    Raw(Arc<RawHandler>),
}

/// An endpoint with its handler.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) spec: EndpointSpec,
    pub(crate) handling: Handling,
}

/// The handlers, by endpoint.
#[derive(Default)]
pub(crate) struct Routes {
    by_endpoint: HashMap<(Method, &'static str), Route>,
}

impl Routes {
    /// Answers `E` with a value.
    pub(crate) fn on<E, F, R>(&mut self, handler: F)
    where
        E: Endpoint,
        F: Fn(App, Context, E::Request) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<E::Response>> + Send + 'static,
    {
        self.relay::<E, _, _>(move |app, cx, request| {
            handler(app, cx, request).map(|answer| answer.map(Payload::Value))
        });
    }

    /// Answers `E` with a value, or with JSON text that an upstream sent.
    pub(crate) fn relay<E, F, R>(&mut self, handler: F)
    where
        E: Endpoint,
        F: Fn(App, Context, E::Request) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Payload<E::Response>>> + Send + 'static,
    {
        self.stream::<E, _, _>(move |app, cx, request| {
            handler(app, cx, request).map(|answer| answer.map(Reply::Full))
        });
    }

    /// Answers `E` at once or with events, as the request wants it.
    pub(crate) fn stream<E, F, R>(&mut self, handler: F)
    where
        E: Endpoint,
        F: Fn(App, Context, E::Request) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Answer<E>>> + Send + 'static,
    {
        let shape = Arc::new(Shape::of::<E>());
        let erased = move |app: App, cx: Context, input: Input| {
            let (handler, shape) = (handler.clone(), Arc::clone(&shape));
            async move {
                let depth = app.options.limits.json_depth;
                let (request, wants_events) = input.read::<E>(shape, depth).await?;
                let as_events = wants_events && app.options.stream_errors_as_events;
                match handler(app, cx, request).await {
                    Ok(Reply::Full(payload)) => Ok(Answered::Json(payload.into_bytes())),
                    Ok(Reply::Stream(events)) => Ok(Answered::Events(encoded::<E>(events))),
                    Err(error) if as_events => {
                        let event = futures_util::stream::once(std::future::ready(Err(error)));
                        Ok(Answered::Events(event.boxed()))
                    }
                    Err(error) => Err(error),
                }
            }
            .boxed()
        };
        self.add::<E>(Handling::Typed(Arc::new(erased)));
    }

    /// Answers `E` with a handler that reads the body as it comes.
    pub(crate) fn raw<E, F, R>(&mut self, handler: F)
    where
        E: Endpoint,
        F: Fn(App, Context, Asked) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Response<ResponseBody>, Unread>> + Send + 'static,
    {
        let erased = move |app, cx, asked| handler(app, cx, asked).boxed();
        self.add::<E>(Handling::Raw(Arc::new(erased)));
    }

    fn add<E: Endpoint>(&mut self, handling: Handling) {
        let route = Route { spec: E::SPEC, handling };
        self.by_endpoint.insert((E::SPEC.method, E::SPEC.path), route);
    }

    /// The handler of an endpoint.
    pub(crate) fn get(&self, spec: &EndpointSpec) -> Option<&Route> {
        self.by_endpoint.get(&(spec.method, spec.path))
    }
}

fn encoded<E: Endpoint>(
    events: EventStream<Payload<E::Event>>,
) -> BoxStream<'static, Result<Bytes>> {
    events.map(|event| event.map(Payload::into_bytes)).boxed()
}
