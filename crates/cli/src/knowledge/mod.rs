//! `chaski ingest` and `chaski search`: files into a vector store of a server, and texts out of it.

mod ingest;
mod paths;
mod search;

pub(crate) use ingest::run as ingest;
pub(crate) use search::run as search;

use crate::{
    args::ServerArgs,
    environment::Environment,
    failure::{Failure, Outcome},
};
use chaski_api::{
    Secret,
    openai::{ListOrder, ListVectorStoresRequest, VectorStoreObject},
    wire::Between,
};
use chaski_client::{Client, ClientOptions};
use chaski_upstream::{Http, HttpOptions};

/// The port of a server that nobody told another one.
const DEFAULT_PORT: u16 = 8321;

impl From<chaski_client::Error> for Failure {
    fn from(error: chaski_client::Error) -> Self {
        let failure = Self::failed(&error);
        if matches!(error, chaski_client::Error::Transport(_)) {
            failure.hint("start the server with `chaski run`, or name another one with `--url`")
        } else {
            failure
        }
    }
}

/// A client of the server that is named, or of the one on this machine.
fn client(args: &ServerArgs, environment: &Environment) -> Outcome<Client> {
    // Where it is installed already, it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = if let Some(url) = &args.url {
        let url = url.trim_end_matches('/');
        url.strip_suffix("/v1").unwrap_or(url).to_owned()
    } else {
        let port = environment.port()?.unwrap_or(DEFAULT_PORT);
        format!("http://127.0.0.1:{port}")
    };
    let options = ClientOptions {
        api_key: args.api_key.as_deref().map(Secret::new),
        ..ClientOptions::default()
    };
    Ok(Client::new(Http::new(HttpOptions::default())?, &url, options)?)
}

/// The vector store with this id or this name; of several with the name, the newest.
async fn store(client: &Client, wanted: &str) -> Outcome<Option<VectorStoreObject>> {
    let mut after = None;
    loop {
        let (limit, order) = (Between(100), ListOrder::Descending);
        let request = ListVectorStoresRequest { limit, order, after, before: None };
        let page = client.list_vector_stores(request).await?;
        let found = page.data.into_iter().find(|store| store.id == wanted || store.name == wanted);
        if found.is_some() || !page.has_more {
            return Ok(found);
        }
        after = page.last_id;
    }
}
