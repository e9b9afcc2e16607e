//! The table of endpoints.

use super::Report;
use crate::tree::Tree;
use chaski_api::{Schemas, endpoints};
use std::collections::HashSet;

pub(super) fn unique(_: &Tree, report: &mut Report) {
    let (mut routes, mut operations) = (HashSet::new(), HashSet::new());
    for endpoint in endpoints::all() {
        let spec = &endpoint.spec;
        let route = format!("{} {}", spec.method.as_str(), spec.path);
        if !routes.insert(route.clone()) {
            report.problem(format!("{route} is declared twice"));
        }
        if !operations.insert((spec.api, spec.operation)) {
            report.problem(format!("{route}: operation `{}` is taken", spec.operation));
        }
        let Some(types) = &endpoint.types else { continue };
        if !spec.summary.ends_with('.') {
            report.problem(format!("{route}: the summary is a sentence with a full stop"));
        }
        let mut schemas = Schemas::default();
        let request = (types.request)(&mut schemas);
        let properties = schemas.resolve(&request)["properties"].clone();
        for parameter in spec.parameters() {
            if properties.get(parameter).is_none() {
                report.problem(format!("{route}: its request has no field `{parameter}`"));
            }
        }
    }
}
