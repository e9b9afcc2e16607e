//! From a run configuration to a running stack with everything it is given.

use crate::{environment::Environment, failure::Outcome, source};
use chaski_api::inspect::HealthStatus;
use chaski_documents::isolated::WorkerCommand;
use chaski_provider::{Deps, Documents, Tasks};
use chaski_stack::{Data, Loaded, Stack, StackOptions, open_store};
use chaski_upstream::{Http, HttpOptions};
use std::{env, sync::Arc, thread, time::Duration};
use tokio::time::{Instant, sleep};

/// The CPU cores that this process may use.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The client for everything outbound.
pub(crate) fn http(loaded: &Loaded, environment: &Environment) -> Outcome<Http> {
    let mut egress_allow = environment.egress_allow()?;
    for entry in &loaded.config.server.egress_allow {
        egress_allow.push(
            entry
                .parse()
                .map_err(|error| crate::Failure::failed(format!("server.egress_allow: {error}")))?,
        );
    }
    Ok(Http::new(HttpOptions {
        egress_allow,
        proxies: environment.proxies(),
        ..HttpOptions::default()
    })?)
}

/// Where documents are read: in processes of this program, on half of the cores, so that requests find
/// one that is free.
fn documents() -> Outcome<Documents> {
    let program = env::current_exe().map_err(|error| {
        crate::Failure::failed(format!(
            "this program cannot find itself, to read documents in processes of their own: {error}"
        ))
    })?;
    let command = WorkerCommand::new(program, [crate::args::PARSE_DOCUMENT]);
    Ok(Documents::isolated(command, cores().div_ceil(2)))
}

/// Opens the store and starts the stack.
pub(crate) async fn stack(loaded: Loaded, environment: &Environment) -> Outcome<Arc<Stack>> {
    let deps = Deps {
        http: http(&loaded, environment)?,
        weights_dir: environment.weights_dir()?,
        compute_threads: cores(),
        cpu: chaski_provider::Cpu::new(cores()),
        documents: documents()?,
        environment: chaski_provider::Environment::new(environment.values().clone()),
        tasks: Tasks::default(),
        routers: chaski_provider::Routers::default(),
    };
    let store = open_store(&loaded.config, &environment.config_dir()?)?;
    let data = Data::open(&loaded.config, &environment.config_dir()?)?;
    let Loaded { config, raw, .. } = loaded;
    let options = StackOptions { config, raw, catalog: source::catalog(), deps, store, data };
    Ok(Stack::start(options).await?)
}

/// Waits until every provider is known to serve or not, at most for `patience`.
pub(crate) async fn settled(stack: &Stack, patience: Duration) {
    let until = Instant::now() + patience;
    let starting = || {
        let providers = stack.providers();
        providers.iter().any(|provider| provider.health.status == HealthStatus::Starting)
    };
    while starting() && Instant::now() < until {
        sleep(Duration::from_millis(2)).await;
    }
}
