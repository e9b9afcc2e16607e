//! `chaski run`: from the command line to a server that answers.

mod greeting;
mod listen;
mod open_files;
mod options;
mod serve;
mod signals;

use crate::{
    args::RunArgs,
    boot,
    environment::{Environment, NO_COLOR},
    failure::{Failure, Outcome},
    logging::{self, Logging},
    source::{self, DEFAULT_TEMPLATE, Found},
};
use chaski_server::TlsFiles;
use chaski_stack::{Loaded, config::redacted};
use std::{path::PathBuf, time::Instant};
use tokio::runtime::Runtime;

/// Starts the server and serves until a signal ends it.
pub(crate) fn run(args: &RunArgs, mut environment: Environment) -> Outcome {
    let started = Instant::now();
    let names = source::add_pairs(&mut environment, &args.env)?;
    let found = named(args, &environment)?;
    let mut loaded = source::load(&found, &environment)?;
    if let Some(name) = &args.image_name {
        loaded.config.image_name.clone_from(name);
    }
    let tls = tls(args, &loaded)?;
    let wanted = wanted(args, &environment, &loaded)?;
    let listen = listen::on_this_machine(listen::addresses(wanted)?, !wanted.hosts.is_empty());
    let logging = logging::start(&environment, &loaded.config.category_levels(), false)?;
    report_panics();
    open_files::raise();
    tell(&found, &loaded, &names);

    let setup = serve::Setup {
        name: loaded.config.image_name.clone(),
        listen,
        tls,
        started,
        colours: environment.get(NO_COLOR).is_none(),
    };
    // Where it is installed already, it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = runtime()?;
    let ended = runtime.block_on(serve::serve(setup, loaded, &environment, &logging));
    // Work that does not end by itself must not keep the process from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    let Logging { guard, .. } = logging;
    drop(guard);
    ended
}

/// Threads for the network, one for each core. They never compute: models have their own.
pub(crate) fn runtime() -> Outcome<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(boot::cores())
        .thread_name("network")
        .enable_all()
        .build()?)
}

/// Checks `--env` in the words of the reference's `stack run`, which has another parser for it.
pub(crate) fn check_pairs(pairs: &[String]) -> Outcome {
    for text in pairs {
        match text.split_once('=') {
            None => {
                return Err(Failure::usage(format!(
                    "Environment variable '{text}' must be in KEY=VALUE format"
                )));
            }
            Some((key, _)) if key.trim().is_empty() => {
                return Err(Failure::usage(format!("Environment variable '{text}' has empty key")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The configuration that the command line names.
fn named(args: &RunArgs, environment: &Environment) -> Outcome<Found> {
    if let Some(path) = &args.yaml_config {
        if !path.is_file() {
            let path = path.display();
            return Err(Failure::failed(format!("Config file {path} does not exist")));
        }
        return source::file(path);
    }
    if let Some(name) = &args.template {
        return source::built_in(name).ok_or_else(|| {
            Failure::failed(format!("Template {name} does not exist"))
                .hint("`chaski list-templates` lists them")
        });
    }
    source::find(args.config.as_deref().unwrap_or(DEFAULT_TEMPLATE), &environment.config_dir()?)
}

fn wanted<'a>(
    args: &'a RunArgs,
    environment: &Environment,
    loaded: &'a Loaded,
) -> Outcome<listen::Wanted<'a>> {
    let server = &loaded.config.server;
    let configured = u16::try_from(server.port.0)
        .map_err(|_| Failure::failed(format!("server.port: {} is no port", server.port.0)))?;
    let port = match args.port {
        Some(port) => port,
        None => environment.port()?.unwrap_or(configured),
    };
    let hosts = if args.host.is_empty() { server.host.as_slice() } else { args.host.as_slice() };
    Ok(listen::Wanted {
        hosts,
        port,
        ipv6: !args.disable_ipv6 && !server.disable_ipv6,
        authenticated: server.auth.is_some(),
        insecure: args.insecure,
    })
}

/// The key and the certificate for HTTPS; nothing for HTTP. One without the other would quietly
/// serve in clear what somebody wanted to be encrypted.
fn tls(args: &RunArgs, loaded: &Loaded) -> Outcome<Option<TlsFiles>> {
    let server = &loaded.config.server;
    let of_config = |path: &Option<String>| path.as_ref().map(PathBuf::from);
    let (key, cert) = if args.tls_keyfile.is_some() || args.tls_certfile.is_some() {
        (args.tls_keyfile.clone(), args.tls_certfile.clone())
    } else {
        (of_config(&server.tls_keyfile), of_config(&server.tls_certfile))
    };
    match (key, cert) {
        (None, None) => Ok(None),
        (Some(key), Some(cert)) => Ok(Some(TlsFiles { key, cert })),
        (Some(_), None) => Err(half("tls_keyfile", "tls_certfile")),
        (None, Some(_)) => Err(half("tls_certfile", "tls_keyfile")),
    }
}

fn half(there: &str, missing: &str) -> Failure {
    Failure::failed(format!(
        "server.{there} is set and server.{missing} is not: HTTPS needs both files"
    ))
    .hint("set both, or none for plain HTTP")
}

/// Says what was read, before anything is started.
fn tell(found: &Found, loaded: &Loaded, names: &[String]) {
    for name in names {
        tracing::info!(target: "server", "Setting CLI environment variable {name}");
    }
    if let Some(path) = &found.path {
        tracing::info!(target: "server", "Using config file: {}", path.display());
    } else {
        tracing::info!(target: "server", "Using template {}", found.name);
    }
    tracing::debug!(target: "server", config = %redacted(loaded.raw.clone()), "Run configuration");
    for warning in &loaded.warnings {
        tracing::warn!(target: "core", "{warning}");
    }
}

/// Puts panics into the log: they are faults of this program, and somebody should hear of them.
fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let text = info.payload_as_str().unwrap_or("unknown");
        tracing::error!(target: "core", place, "panic: {text}");
    }));
}
