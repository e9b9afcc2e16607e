//! One page for each provider.

use super::{
    fields,
    page::{Page, backticks, one_line},
    yaml,
};
use crate::tidy::{Listed, provider_tables};
use chaski_api::Schemas;
use serde_json::json;

pub(super) fn pages() -> Vec<(String, String)> {
    let entries: Vec<Listed> =
        provider_tables().into_iter().flat_map(|(_, entries)| entries).collect();
    let mut pages: Vec<(String, String)> =
        entries.iter().map(|entry| (path(entry), page(entry))).collect();
    pages.push(("providers/README.md".to_owned(), index(&entries)));
    pages
}

/// The file of a provider, below the folder of all providers.
fn file(entry: &Listed) -> String {
    format!("{}/{}.md", entry.spec.api, entry.spec.provider_type.replace("::", "-"))
}

fn path(entry: &Listed) -> String {
    format!("providers/{}", file(entry))
}

fn index(entries: &[Listed]) -> String {
    let mut page = Page::new("Providers");
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let spec = &entry.spec;
            let link = format!("[`{}`]({})", spec.provider_type, file(entry));
            vec![link, format!("`{}`", spec.api), spec.summary.to_owned()]
        })
        .collect();
    page.table(&["Type", "API", "What it is"], &rows);
    page.finish()
}

fn page(entry: &Listed) -> String {
    let spec = &entry.spec;
    let mut page = Page::new(&format!("`{}`", spec.provider_type));
    page.block(&format!("API: `{}`. {}", spec.api, one_line(spec.summary)));
    if let Some(instead) = spec.deprecated {
        page.block(&format!("Deprecated: {instead}"));
    }
    if !spec.aliases.is_empty() {
        page.block(&format!("Other names: {}.", backticks(spec.aliases)));
    }
    if !spec.provider_data.is_empty() {
        page.block(&format!(
            "Callers can bring their own credentials in the header `X-LlamaStack-Provider-Data`, \
             as JSON with: {}.",
            backticks(spec.provider_data)
        ));
    }
    page.block(spec.docs);
    if !spec.environment.is_empty() {
        page.block(&format!(
            "Where the configuration does not say, the environment counts: {}.",
            backticks(spec.environment)
        ));
    }

    page.heading(2, "Configuration");
    let mut schemas = Schemas::default();
    let schema = (entry.schema)(&mut schemas);
    fields::described(&mut page, &schemas, &schema);
    let own: Vec<String> = fields::reference(&schema).map(str::to_owned).into_iter().collect();
    fields::types(&mut page, schemas, 3, &own);

    page.heading(2, "Sample");
    let id = spec.provider_type.rsplit("::").next().unwrap_or(spec.provider_type);
    let sample = json!({
        "providers": {
            spec.api.as_str(): [{
                "provider_id": id,
                "provider_type": spec.provider_type,
                "config": (entry.sample)("~/.chaski"),
            }],
        },
    });
    page.code("yaml", &yaml::write(&sample));
    page.finish()
}
