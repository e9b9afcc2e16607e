//! What the tests of shields have in common.

use chaski_api::{Wire, inference::Message, safety::Shield};
use chaski_provider::{Cpu, Deps, Documents, Environment, Routers, Tasks};
use chaski_upstream::{Http, HttpOptions};
use serde_json::{Value, json};

/// Services of a process with these environment variables and nothing else.
pub(crate) fn deps(environment: &[(&str, &str)]) -> Deps {
    let values = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Deps {
        http: Http::new(HttpOptions::default()).unwrap(),
        weights_dir: "/nowhere".into(),
        compute_threads: 1,
        cpu: Cpu::new(1),
        documents: Documents::in_process(),
        environment: Environment::new(values.collect()),
        tasks: Tasks::default(),
        routers: Routers::default(),
    }
}

pub(crate) fn messages(messages: Value) -> Vec<Message> {
    Vec::from_json(messages).unwrap()
}

pub(crate) fn shield(id: &str, params: &Value) -> Shield {
    Shield::from_json(json!({
        "identifier": "s", "provider_resource_id": id, "provider_id": "p", "params": params,
    }))
    .unwrap()
}
