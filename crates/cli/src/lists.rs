//! The commands that print what this build contains.

use crate::{
    args::{ListProvidersArgs, TableArgs},
    failure::Outcome,
    output::Output,
    source::catalog,
};
use chaski_api::Api;
use chaski_provider::Spec;
use chaski_stack::templates;
use serde_json::{Value, json};

/// The APIs, in the order of the reference.
pub(crate) fn apis(args: &TableArgs, output: Output) -> Outcome {
    let names = Api::ALL.iter().map(|api| api.as_str());
    if args.json {
        return output.json(&names.collect());
    }
    let rows: Vec<_> = names.map(|name| vec![name.to_owned()]).collect();
    output.table(&["API"], &rows)
}

/// The provider types, ordered by API and name.
pub(crate) fn providers(args: &ListProvidersArgs, output: Output) -> Outcome {
    let mut specs: Vec<Spec> = catalog().all().map(|known| known.spec).collect();
    specs.retain(|spec| args.api.as_deref().is_none_or(|api| api == spec.api.as_str()));
    specs.sort_by_key(|spec| (spec.api.as_str(), spec.provider_type));
    if args.table.json {
        let list: Value = specs
            .iter()
            .map(|spec| {
                json!({
                    "api": spec.api,
                    "provider_type": spec.provider_type,
                    "aliases": spec.aliases,
                    "summary": spec.summary,
                    "deprecated": spec.deprecated,
                })
            })
            .collect();
        return output.json(&list);
    }
    let rows: Vec<_> = specs
        .iter()
        .map(|spec| {
            let summary = match spec.deprecated {
                Some(instead) => format!("{} (deprecated: {instead})", spec.summary),
                None => spec.summary.to_owned(),
            };
            vec![spec.api.to_string(), spec.provider_type.to_owned(), summary]
        })
        .collect();
    output.table(&["API Type", "Provider Type", "Summary"], &rows)
}

/// The run configurations that are built in.
pub(crate) fn templates(args: &TableArgs, output: Output) -> Outcome {
    if args.json {
        let list: Value = templates::ALL
            .iter()
            .map(|template| json!({ "name": template.name, "description": template.description }))
            .collect();
        return output.json(&list);
    }
    let rows: Vec<_> = templates::ALL
        .iter()
        .map(|template| vec![template.name.to_owned(), template.description.to_owned()])
        .collect();
    output.table(&["Template Name", "Description"], &rows)
}
