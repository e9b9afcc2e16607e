//! The run configuration: a page, and its JSON schema.

use super::{fields, page::Page};
use chaski_api::{Schemas, Wire};
use chaski_stack::{RunConfig, templates};

pub(super) fn pages() -> Vec<(String, String)> {
    vec![("configuration.md".to_owned(), page()), ("run-config.schema.json".to_owned(), schema())]
}

fn page() -> String {
    let mut page = Page::new("Run configuration");
    page.block(
        "`chaski run FILE` reads a `run.yaml` of version 2. `chaski config check FILE` reports all \
         problems at once, each with its path; `chaski config show FILE` prints what the server \
         would use, without secrets. The same as a JSON schema, for editors: \
         [run-config.schema.json](run-config.schema.json).",
    );
    page.heading(2, "Variables");
    page.block("Any text may name environment variables:");
    let rows: Vec<Vec<String>> = [
        ("`${env.NAME}`", "the value; it is a problem if the variable is not set"),
        (
            "`${env.NAME:default}`, `${env.NAME:=default}`",
            "the value, or the default if unset or empty",
        ),
        (
            "`${env.NAME+value}`, `${env.NAME:+value}`",
            "`value` if the variable is set and not empty, else nothing",
        ),
    ]
    .map(|(form, meaning)| vec![form.to_owned(), meaning.to_owned()])
    .to_vec();
    page.table(&["Form", "Meaning"], &rows);
    page.block(
        "A provider whose `provider_id` is empty or `__disabled__` is switched off: that is how \
         the template `starter` takes a remote provider in only when its variable is set.",
    );

    let mut schemas = Schemas::default();
    let schema = RunConfig::schema(&mut schemas);
    page.heading(2, "Fields");
    fields::described(&mut page, &schemas, &schema);
    let own: Vec<String> = fields::reference(&schema).map(str::to_owned).into_iter().collect();
    fields::types(&mut page, schemas, 3, &own);

    page.heading(2, "Templates");
    page.block("Run configurations that are compiled in: `chaski run NAME`.");
    let rows: Vec<Vec<String>> = templates::ALL
        .iter()
        .map(|template| vec![format!("`{}`", template.name), template.description.to_owned()])
        .collect();
    page.table(&["Name", "What it runs"], &rows);
    page.finish()
}

fn schema() -> String {
    let text = serde_json::to_string_pretty(&chaski_stack::config::schema());
    text.unwrap_or_default() + "\n"
}
