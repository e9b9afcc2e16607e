//! One page for each group of endpoints.

use super::{
    fields,
    page::{Page, one_line},
};
use chaski_api::{Described, Face, Schemas, endpoints};

pub(super) fn pages() -> Vec<(String, String)> {
    endpoints::GROUPS
        .iter()
        .map(|(name, endpoints)| (format!("endpoints/{name}.md"), group(name, endpoints)))
        .collect()
}

fn group(name: &str, endpoints: &[Described]) -> String {
    let mut page = Page::new(&format!("Endpoints: {name}"));
    let served: Vec<&Described> = endpoints.iter().filter(|e| e.types.is_some()).collect();
    let reserved: Vec<&Described> = endpoints.iter().filter(|e| e.types.is_none()).collect();

    let rows: Vec<Vec<String>> = served
        .iter()
        .map(|endpoint| vec![route(endpoint), endpoint.spec.summary.to_owned()])
        .collect();
    page.table(&["Route", "What it does"], &rows);

    let mut schemas = Schemas::default();
    let mut requests = Vec::new();
    for endpoint in &served {
        requests.extend(one(&mut page, &mut schemas, endpoint));
    }
    if !served.is_empty() {
        page.heading(2, "Types");
        fields::types(&mut page, schemas, 3, &requests);
    }
    if !reserved.is_empty() {
        page.block(
            "These routes of the Llama Stack API are known to this build, but not served: they \
             answer with status 501 and the reason.",
        );
        let rows: Vec<Vec<String>> =
            reserved.iter().map(|e| vec![route(e), format!("`{}`", e.spec.api)]).collect();
        page.table(&["Route", "API"], &rows);
    }
    page.finish()
}

fn route(endpoint: &Described) -> String {
    format!("`{} {}`", endpoint.spec.method.as_str(), endpoint.spec.path)
}

/// The section of an endpoint; returns the name of the request's type, which is described in it.
fn one(page: &mut Page, schemas: &mut Schemas, endpoint: &Described) -> Option<String> {
    let types = endpoint.types.as_ref()?;
    let spec = &endpoint.spec;
    page.heading(2, &route(endpoint));
    page.block(spec.summary);
    let mut notes = Vec::new();
    if spec.face == Face::OpenAi {
        let older = spec.path.strip_prefix('/').unwrap_or(spec.path);
        let mount = endpoints::openai::OLDER_MOUNT;
        notes.push(format!("Errors have OpenAI's form. Also served at `{mount}/{older}`."));
    }
    if spec.face == Face::Anthropic {
        notes.push("Errors have Anthropic's form.".to_owned());
    }
    if spec.public {
        notes.push("Needs no authentication.".to_owned());
    }
    if spec.streams {
        notes.push(
            "With `\"stream\": true` the answer is a stream of server-sent events.".to_owned(),
        );
    }
    page.block(&notes.join(" "));

    let request = (types.request)(schemas);
    let resolved = schemas.resolve(&request);
    let rows = fields::rows(resolved);
    if !rows.is_empty() {
        page.block("Request:");
        page.table(fields::HEAD, &rows);
        if resolved["additionalProperties"] == true {
            page.block("Other fields are passed on to the provider.");
        }
    }
    let response = (types.response)(schemas);
    page.block(&format!("Response: {}.", answer(&response)));
    if spec.streams {
        let event = (types.event)(schemas);
        page.block(&format!("Events: {}.", answer(&event)));
    }
    fields::reference(&request).map(str::to_owned)
}

fn answer(schema: &serde_json::Value) -> String {
    if schema["type"] == "null" { "empty".to_owned() } else { one_line(&fields::type_name(schema)) }
}
