//! Brings up the stack and the server, serves, and takes them down again.

use super::{greeting::Greeting, options::options, signals::Signals};
use crate::{
    boot,
    environment::Environment,
    failure::{FAILED, Failure, Outcome},
    logging::Logging,
};
use chaski_api::{
    Error,
    models::{Model, ModelType},
};
use chaski_server::{Server, TlsFiles};
use chaski_stack::{Loaded, Stack};
use chaski_telemetry::Format;
use chaski_weights::{DEFAULT_CHAT, DEFAULT_EMBEDDING, Kind, Store};
use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    process,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long the greeting waits for providers that are still starting.
const SETTLING: Duration = Duration::from_millis(250);

/// What the command line decided.
pub(super) struct Setup {
    pub(super) name: String,
    pub(super) listen: Vec<SocketAddr>,
    pub(super) tls: Option<TlsFiles>,
    pub(super) started: Instant,
    pub(super) colours: bool,
}

/// Serves until a signal comes, then lets what is under way end.
pub(super) async fn serve(
    setup: Setup,
    loaded: Loaded,
    environment: &Environment,
    logging: &Logging,
) -> Outcome {
    let mut signals = Signals::listen()?;
    let weights = Store::new(environment.weights_dir()?);
    let options = options(&setup, &loaded.config.server, environment)?;
    let stack = boot::stack(loaded, environment).await?;
    let server = Server::bind(options, Arc::clone(&stack)).await.map_err(not_bound)?;
    let addresses = server.addresses().to_vec();

    let (stop, stopped) = oneshot::channel::<()>();
    let serving = async {
        // A sender that is gone means the same.
        server.run(async { drop(stopped.await) }).await;
        stack.shutdown().await;
    };
    let listening = setup.started.elapsed();
    let ending = async {
        boot::settled(&stack, SETTLING).await;
        greet(&setup, &addresses, listening, &stack, &weights, logging);
        let name = signals.next().await;
        tracing::info!(target: "server", "Shutting down after {name}; a second signal ends at once");
        let _ = stop.send(());
        let name = signals.next().await;
        tracing::warn!(target: "server", "Ended at once by a second signal, {name}");
        logging.guard.flush();
        process::exit(i32::from(FAILED));
    };
    tokio::select! {
        () = serving => {}
        () = ending => {}
    }
    tracing::info!(target: "server", "Shut down");
    Ok(())
}

/// The failure to listen, with what to do where the port is taken.
fn not_bound(error: Error) -> Failure {
    let cause = error.source.as_ref().and_then(|cause| cause.downcast_ref::<io::Error>());
    let taken = cause.is_some_and(|cause| cause.kind() == io::ErrorKind::AddrInUse);
    let failure = Failure::from(error);
    if taken {
        failure.hint("something listens there already; choose another port with `--port`")
    } else {
        failure
    }
}

fn greet(
    setup: &Setup,
    addresses: &[SocketAddr],
    took: Duration,
    stack: &Stack,
    weights: &Store,
    logging: &Logging,
) {
    let models = stack.models.list();
    let hint = hint(&models, weights);
    let shown: Vec<String> = models
        .iter()
        .map(|model| match model.model_type {
            ModelType::Llm => model.identifier.clone(),
            ModelType::Embedding | ModelType::Rerank => {
                format!("{} ({})", model.identifier, model.model_type)
            }
        })
        .collect();
    let greeting = Greeting {
        name: &setup.name,
        addresses,
        tls: setup.tls.is_some(),
        authenticated: stack.config.server.auth.is_some(),
        providers: &stack.providers(),
        models: &shown,
        hint: hint.as_deref(),
        took,
    };
    let terminal = io::stderr().is_terminal();
    if logging.format == Format::Human && terminal {
        // The lines before must not come after.
        logging.guard.flush();
        let text = greeting.human(setup.colours);
        // A start that cannot be told is a start nevertheless.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    } else {
        greeting.log();
    }
}

/// What to fetch so that there is something to talk with.
fn hint(models: &[Model], weights: &Store) -> Option<String> {
    let installed = weights.list().unwrap_or_default();
    let lacks = |kind: Kind| !installed.iter().any(|here| here.kind == kind);
    let chat = !models.iter().any(|model| model.model_type == ModelType::Llm) && lacks(Kind::Chat);
    let embedding = models.iter().any(|model| model.model_type == ModelType::Embedding)
        && lacks(Kind::Embedding);
    let wanted: Vec<&str> = [(chat, DEFAULT_CHAT), (embedding, DEFAULT_EMBEDDING)]
        .into_iter()
        .filter_map(|(wanted, name)| wanted.then_some(name))
        .collect();
    (!wanted.is_empty())
        .then(|| format!("fetch the weights of a model: `chaski model pull {}`", wanted.join(" ")))
}
