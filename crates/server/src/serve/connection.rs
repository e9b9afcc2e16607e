//! One connection, in HTTP/1.1 or HTTP/2.

use super::io::Impatient;
use crate::{
    app::App,
    pipeline::{self, Arrival},
};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// Streams of HTTP/2 at one time on one connection.
const STREAMS: u32 = 200;
/// Streams that a peer may reset before they were answered, on one connection.
const RESETS: usize = 50;
/// How often a silent HTTP/2 connection is asked whether it is alive.
const PING: Duration = Duration::from_secs(30);

/// What connections share, and what they may not exceed.
#[derive(Clone)]
pub(super) struct Limited {
    pub(super) app: App,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Limited {
    /// Answers the requests of a connection until it ends.
    pub(super) async fn serve(self, stream: TcpStream) {
        // Without it, small pieces of a stream would wait for the answer to the piece before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(target: "server", "cannot set up a connection: {error}");
            return;
        }
        let Ok(local) = stream.local_addr() else { return };
        let limits = &self.app.options.limits;
        let stream = Impatient::new(stream, limits.write_timeout);
        match self.tls.clone() {
            None => self.http(stream, local, false).await,
            // Connections without TLS have no room for it.
            Some(tls) => Box::pin(self.https(tls, stream, local)).await,
        }
    }

    async fn https(self, tls: TlsAcceptor, stream: Impatient<TcpStream>, local: SocketAddr) {
        match timeout(self.app.options.limits.header_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.http(stream, local, true).await,
            Ok(Err(error)) => tracing::debug!(target: "server", "no TLS: {error}"),
            Err(_) => tracing::debug!(target: "server", "no TLS in time"),
        }
    }

    async fn http<S>(mut self, stream: S, local: SocketAddr, tls: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = self.app.options.limits.clone();
        let heard = Arc::new(AtomicBool::new(false));
        let (app, hearing) = (self.app, Arc::clone(&heard));
        let service = service_fn(move |request| {
            hearing.store(true, Ordering::Relaxed);
            pipeline::answer(app.clone(), Arrival { local, tls }, request)
        });

        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(limits.header_bytes.max(8192))
            .max_headers(limits.headers);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_pending_accept_reset_streams(RESETS)
            .max_local_error_reset_streams(RESETS)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(PING)
            .keep_alive_timeout(limits.header_timeout);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));

        // Which HTTP it is shows with the first bytes, and nothing else bounds the wait for them.
        let mut first = pin!(sleep(limits.header_timeout));
        let (mut waiting, mut ending) = (true, false);
        let outcome = loop {
            tokio::select! {
                outcome = connection.as_mut() => break outcome,
                () = &mut first, if waiting => {
                    waiting = false;
                    if !heard.load(Ordering::Relaxed) {
                        return;
                    }
                }
                () = super::stopped(&mut self.stopping), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(target: "server", "a connection broke: {error}");
        }
    }
}
