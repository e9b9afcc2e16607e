//! The texts about resources that no provider can have.

/// The text for a resource that names no provider where there is not exactly one.
pub(crate) fn no_provider(available: &[&str]) -> String {
    let names: Vec<String> = available.iter().map(|name| format!("'{name}'")).collect();
    format!(
        "No provider specified and multiple providers available. Please specify a provider_id. \
         Available providers: dict_keys([{}])",
        names.join(", ")
    )
}

/// The text for something that no provider serves. `title` and `kind` are the words for it, and
/// `api` that for its providers.
pub(crate) fn not_served(
    title: &str,
    api: &str,
    kind: &str,
    id: &str,
    providers: &[&str],
) -> String {
    let served = match providers {
        [] => format!("{title} `{id}` not served by any provider: none is configured."),
        [one] => format!("{title} `{id}` not served by provider: `{one}`."),
        all => format!("{title} `{id}` not served by any of the providers: {}.", all.join(", ")),
    };
    format!("{served} Make sure there is an {api} provider serving this {kind}.")
}
