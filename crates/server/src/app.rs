//! What handlers and the pipeline work with.

use crate::{
    ServerOptions,
    auth::Authentication,
    docs_page,
    faces::{self, StackChat},
    handlers, mcp, openapi,
    router::{Found, Router},
    routes::{Route, Routes},
};
use bytes::Bytes;
use chaski_api::{EndpointSpec, Face, endpoints};
use chaski_provider::Chat;
use chaski_stack::Stack;
use http::Method;
use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Semaphore;

/// The stack and the settings of the server; clones are the same.
#[derive(Clone)]
pub(crate) struct App(Arc<State>);

/// What all requests share.
pub(crate) struct State {
    pub(crate) stack: Arc<Stack>,
    /// Kept here for the providers that chat.
    _chat: Arc<dyn Chat>,
    pub(crate) options: ServerOptions,
    pub(crate) auth: Option<Authentication>,
    /// One permit for each request that may be worked on at a time.
    pub(crate) permits: Arc<Semaphore>,
    router: Router<Target>,
    /// What answers below [`endpoints::openai::OLDER_MOUNT`].
    older_mount: Router<Target>,
    draining: AtomicBool,
}

/// What a path and a method lead to.
pub(crate) struct Target {
    pub(crate) face: Face,
    /// Whether it answers without credentials.
    pub(crate) public: bool,
    pub(crate) action: Action,
}

pub(crate) enum Action {
    Endpoint(Route),
    /// Declared, but not served by this build.
    Reserved(EndpointSpec),
    /// A file that is made at the start or compiled in.
    Page(Page),
}

/// A file and how it is to be treated.
pub(crate) struct Page {
    pub(crate) media_type: &'static str,
    pub(crate) text: Bytes,
}

impl App {
    pub(crate) fn new(stack: Arc<Stack>, options: ServerOptions) -> Self {
        let mut routes = Routes::default();
        handlers::register(&mut routes);
        faces::mount(&mut routes);
        mcp::register(&mut routes);

        let (mut router, mut older_mount) = (Router::default(), Router::default());
        for endpoint in endpoints::all() {
            let spec = endpoint.spec;
            let route = routes.get(&spec);
            if let Some(route) = route
                && (spec.face == Face::OpenAi || handlers::shared_with_openai(&spec))
            {
                let action = Action::Endpoint(route.clone());
                let target = Target { face: Face::OpenAi, public: spec.public, action };
                older_mount.add(spec.method, spec.path, target);
            }
            let action =
                route.map_or(Action::Reserved(spec), |route| Action::Endpoint(route.clone()));
            let target = Target { face: spec.face, public: spec.public, action };
            router.add(spec.method, spec.path, target);
        }
        for (path, public, page) in pages(&options) {
            let action = Action::Page(page);
            let target = Target { face: Face::LlamaStack, public, action };
            router.add(chaski_api::Method::Get, path, target);
        }

        let chat: Arc<dyn Chat> = Arc::new(StackChat::new(&stack));
        stack.set_chat(&chat);
        Self(Arc::new(State {
            auth: options.auth.clone().map(|auth| Authentication::new(auth, stack.http())),
            stack,
            _chat: chat,
            permits: Arc::new(Semaphore::new(options.limits.concurrent_requests)),
            options,
            router,
            older_mount,
            draining: AtomicBool::new(false),
        }))
    }
}

/// The pages: their paths, and whether they are for everybody.
fn pages(options: &ServerOptions) -> Vec<(&'static str, bool, Page)> {
    let document = openapi::document(&options.version, options.auth.is_some()).to_string();
    let document = Page { media_type: "application/json", text: document.into() };
    let mut pages = vec![("/openapi.json", false, document)];
    for file in docs_page::FILES {
        let text = Bytes::from_static(file.text.as_bytes());
        // It holds nothing but itself, and browsers can show no token when they ask for it.
        pages.push((file.path, true, Page { media_type: file.media_type, text }));
    }
    pages
}

impl State {
    /// What a request leads to, and the face that its errors wear.
    pub(crate) fn find(&self, method: &Method, path: &str) -> (Found<'_, Target>, Face) {
        let mount = endpoints::openai::OLDER_MOUNT;
        if let Some(below) = path.strip_prefix(mount)
            && below.starts_with('/')
        {
            let found = match self.older_mount.find(method, below) {
                Found::Elsewhere(path) => Found::Elsewhere(format!("{mount}{path}")),
                found @ (Found::Endpoint(..) | Found::OtherMethods(_) | Found::Nothing) => found,
            };
            return (found, Face::OpenAi);
        }
        let found = self.router.find(method, path);
        let of_anthropic = |below: &str| below.is_empty() || below.starts_with('/');
        let face = match &found {
            Found::Endpoint(target, _) => target.face,
            Found::OtherMethods(_) | Found::Elsewhere(_) | Found::Nothing => {
                match path.strip_prefix(endpoints::anthropic::MOUNT) {
                    Some(below) if of_anthropic(below) => Face::Anthropic,
                    Some(_) | None => Face::LlamaStack,
                }
            }
        };
        (found, face)
    }

    /// Takes no new work from now on.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

impl Deref for App {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}
