//! Listening, connections, and an orderly end.

mod connection;
mod io;
mod tls;

use crate::{ServerOptions, app::App};
use chaski_api::{Error, Result};
use chaski_stack::Stack;
use connection::Limited;
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// How long to wait after a connection could not be accepted, for example for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that listens but does not answer yet.
pub struct Server {
    app: App,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    tls: Option<TlsAcceptor>,
}

impl Server {
    /// Listens on all addresses of the options.
    ///
    /// # Errors
    /// An address cannot be listened on, or the files for HTTPS cannot be used.
    pub async fn bind(options: ServerOptions, stack: Arc<Stack>) -> Result<Self> {
        let tls = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for address in &options.listen {
            let cannot = |error: std::io::Error| {
                Error::unavailable(format!("cannot listen on {address}: {error}")).caused_by(error)
            };
            let listener = TcpListener::bind(address).await.map_err(cannot)?;
            addresses.push(listener.local_addr().map_err(cannot)?);
            listeners.push(listener);
        }
        let app = App::new(stack, options);
        Ok(Self { app, listeners, addresses, tls })
    }

    /// The addresses it listens on, with the ports that were free where 0 was asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Answers requests until `shutdown`. Then it takes no new ones, lets answers go on until the
    /// deadline of the options, cuts what is left, and returns.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let Self { app, listeners, addresses: _, tls } = self;
        let (stop, stopping) = watch::channel(false);
        let limited = Limited {
            tls,
            permits: Arc::new(Semaphore::new(app.options.limits.connections)),
            stopping,
            app: app.clone(),
        };
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept(listener, limited.clone()));
        }
        drop(limited);

        shutdown.await;
        app.drain();
        // Whoever listens hands over the connections, which end by themselves once they are idle.
        stop.send_replace(true);
        let grace = app.options.shutdown_grace;
        let mut connections = Vec::new();
        while let Some(accepted) = accepting.join_next().await {
            connections.extend(accepted);
        }
        let finish = async {
            for connections in &mut connections {
                while connections.join_next().await.is_some() {}
            }
        };
        if timeout(grace, finish).await.is_err() {
            let left: usize = connections.iter().map(JoinSet::len).sum();
            tracing::warn!(target: "server", connections = left, "cutting answers that go on too long");
            for mut connections in connections {
                connections.shutdown().await;
            }
        }
    }
}

/// Accepts connections until the server stops; returns those that are still open.
async fn accept(listener: TcpListener, limited: Limited) -> JoinSet<()> {
    let mut connections = JoinSet::new();
    let mut stopping = limited.stopping.clone();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stopping) => return connections,
            Some(_) = connections.join_next() => {}
            accepted = next(&listener, &limited) => match accepted {
                Ok((stream, permit)) => {
                    let limited = limited.clone();
                    connections.spawn(async move {
                        limited.serve(stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(target: "server", "cannot accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Returns once the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Without its sender the server is gone altogether.
    let _gone = stopping.wait_for(|stopping| *stopping).await.is_err();
}

/// The next connection, once one more is allowed.
async fn next(
    listener: &TcpListener,
    limited: &Limited,
) -> std::io::Result<(TcpStream, Option<tokio::sync::OwnedSemaphorePermit>)> {
    // The semaphore is never closed, so that a missing permit means nothing.
    let permit = Arc::clone(&limited.permits).acquire_owned().await.ok();
    let (stream, _peer) = listener.accept().await?;
    Ok((stream, permit))
}
