//! `bare-proxy PORT UPSTREAM`: a reverse proxy with nothing in it but hyper, on the loopback
//! interface: what relaying costs at least, on the libraries that the server is built on.

use anyhow::{Context, Result};
use http::{Request, Uri, uri::PathAndQuery};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use std::env;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    let ports: Vec<u16> = env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [port, upstream] = ports[..] else { anyhow::bail!("usage: bare-proxy PORT UPSTREAM") };
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.context("the port is taken")?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let client = client.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
            let target = format!("http://127.0.0.1:{upstream}{path}").parse::<Uri>();
            let client = client.clone();
            async move {
                *request.uri_mut() = target.context("the path of a request is one")?;
                client.request(request).await.map_err(anyhow::Error::from)
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    }
}
