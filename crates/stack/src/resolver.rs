//! From a configuration to a plan: what is served by whom, in which order, and what is wrong.
//!
//! Pure: no provider is built and nothing is asked.

use crate::{
    Catalog,
    config::{NetworkConfig, RunConfig, check_targets, nearest, redacted_map},
    reference,
};
use chaski_api::{Api, Issue, Segment, models::ModelType, routing::Target};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Whether a provider of this id is switched off.
pub(crate) fn is_disabled(provider_id: &str) -> bool {
    provider_id.is_empty() || provider_id == "__disabled__"
}

/// Whether a configured provider can be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    Contained,
    /// A type of the reference that this build lacks.
    Missing,
    Disabled,
}

/// A provider instance of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Planned {
    pub(crate) api: Api,
    pub(crate) provider_id: String,
    pub(crate) provider_type: String,
    pub(crate) config: Value,
    pub(crate) network: NetworkConfig,
    /// The settings with everything secret replaced.
    pub(crate) shown: Map<String, Value>,
    pub(crate) availability: Availability,
}

/// What a configuration comes to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// In the order of the file.
    pub(crate) instances: Vec<Planned>,
    /// The behaviours to serve; nothing means all.
    pub(crate) apis: Option<Vec<Api>>,
    /// The APIs with providers, each after those it needs.
    pub(crate) order: Vec<Api>,
    pub(crate) warnings: Vec<String>,
    pub(crate) problems: Vec<Issue>,
}

impl Plan {
    /// Whether `api` is to be served, provided or not.
    pub(crate) fn wants(&self, api: Api) -> bool {
        matches!(api, Api::Inspect | Api::Providers | Api::Files)
            || self
                .apis
                .as_ref()
                .is_none_or(|apis| apis.contains(&api) || apis.contains(&api.behaviour()))
    }

    fn warn_of_deprecated(&mut self, api: Api, kind: &str, instead: Option<&str>) {
        if let Some(instead) = instead {
            self.warnings.push(format!(
                "Provider `{kind}` for API `Api.{api}` is deprecated and will be removed in a \
                 future release: {instead}"
            ));
        }
    }

    fn problem(&mut self, loc: Vec<Segment>, kind: &'static str, msg: String) {
        self.problems.push(Issue { loc, msg, kind });
    }
}

fn key(name: &str) -> Segment {
    Segment::Key(name.to_owned().into())
}

/// Makes the plan.
pub(crate) fn plan(config: &RunConfig, catalog: &Catalog) -> Plan {
    let mut plan = Plan::default();
    read_apis(config, &mut plan);
    for (name, entries) in &config.providers.0 {
        let Some(api) = providable(name, &mut plan) else { continue };
        for (index, entry) in entries.iter().enumerate() {
            let at =
                |last: &str| vec![key("providers"), key(name), Segment::Index(index), key(last)];
            let (id, kind) = (&entry.provider_id, &entry.provider_type);
            let availability = if is_disabled(id) {
                let warning = format!("Provider `{kind}` for API `Api.{api}` is disabled");
                if !plan.warnings.contains(&warning) {
                    plan.warnings.push(warning);
                }
                Availability::Disabled
            } else {
                check(catalog, api, entry, &at, &mut plan)
            };
            let planned = Planned {
                api,
                provider_id: id.clone(),
                provider_type: kind.clone(),
                config: entry.config.clone().into(),
                network: entry.network.clone().unwrap_or_default(),
                shown: redacted_map(&entry.config),
                availability,
            };
            let same_id = |other: &&Planned| other.api == api && other.provider_id == *id;
            let earlier = plan.instances.iter().find(same_id);
            if let Some(earlier) = earlier.filter(|_| availability != Availability::Disabled) {
                // Two entries switched on by different variables may say the same, and among
                // those that cannot serve anyway nothing goes wrong.
                let clash = *earlier != planned;
                let serves = |one: &Planned| one.availability == Availability::Contained;
                let msg = format!(
                    "another provider of `{api}` is called `{id}` too; give each its own name"
                );
                if clash && (serves(earlier) || serves(&planned)) {
                    plan.problem(at("provider_id"), "duplicate", msg);
                } else if clash {
                    plan.warnings.push(msg);
                }
                continue;
            }
            plan.instances.push(planned);
        }
    }
    warn_of_missing(&mut plan);
    check_needs(config, &mut plan);
    check_models(config, &mut plan);
    check_resources(config, &mut plan);
    check_datasets(config, &mut plan);
    warn_of_resources(config, &mut plan);
    plan
}

fn read_apis(config: &RunConfig, plan: &mut Plan) {
    if config.apis.is_empty() {
        return;
    }
    let mut apis = Vec::new();
    for (index, name) in config.apis.iter().enumerate() {
        if let Some(api) = Api::parse(name) {
            apis.push(api);
        } else {
            let loc = vec![key("apis"), Segment::Index(index)];
            plan.problem(loc, "enum", unknown_api(name, Api::ALL));
        }
    }
    plan.apis = Some(apis);
}

fn unknown_api(name: &str, known: &[Api]) -> String {
    let hint = nearest(name, known.iter().map(|api| api.as_str()));
    let hint = hint.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    format!("'{name}' is not a valid Api{hint}")
}

/// The API called `name`, if it can have providers.
fn providable(name: &str, plan: &mut Plan) -> Option<Api> {
    let loc = vec![key("providers"), key(name)];
    let Some(api) = Api::parse(name) else {
        plan.problem(loc, "enum", unknown_api(name, &Api::PROVIDABLE));
        return None;
    };
    if !Api::PROVIDABLE.contains(&api) {
        let msg =
            format!("Provider for `{api}` is automatically provided and cannot be overridden");
        plan.problem(loc, "not_providable", msg);
        return None;
    }
    Some(api)
}

fn check(
    catalog: &Catalog,
    api: Api,
    entry: &crate::config::ProviderEntry,
    at: &dyn Fn(&str) -> Vec<Segment>,
    plan: &mut Plan,
) -> Availability {
    let kind = entry.provider_type.as_str();
    if let Some(known) = catalog.find(api, kind) {
        for mut issue in (known.check)(entry.config.clone().into()) {
            issue.loc.splice(..0, at("config"));
            plan.problems.push(issue);
        }
        let of_name = || reference::find(api, kind).and_then(|known| known.deprecated);
        plan.warn_of_deprecated(api, kind, known.spec.deprecated.or_else(of_name));
        return Availability::Contained;
    }
    if let Some(known) = reference::find(api, kind) {
        plan.warn_of_deprecated(api, kind, known.deprecated);
        return Availability::Missing;
    }
    let hint = nearest(kind, catalog.known_types(api));
    let hint = hint.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    let msg = format!("Provider `{kind}` is not available for API `Api.{api}`{hint}");
    plan.problem(at("provider_type"), "unknown_provider", msg);
    Availability::Missing
}

/// Names the providers of each API whose types this build lacks.
fn warn_of_missing(plan: &mut Plan) {
    for api in Api::PROVIDABLE {
        let missing: Vec<String> = plan
            .instances
            .iter()
            .filter(|one| one.api == api && one.availability == Availability::Missing)
            .filter(|one| reference::find(api, &one.provider_type).is_some())
            .map(|one| format!("`{}` (`{}`)", one.provider_id, one.provider_type))
            .collect();
        if !missing.is_empty() {
            plan.warnings.push(format!(
                "this build does not contain these providers of `{api}` yet, they are unavailable: {}",
                missing.join(", ")
            ));
        }
    }
}

/// Finds needed APIs that are not served, and the order of the others.
fn check_needs(config: &RunConfig, plan: &mut Plan) {
    let mut needs: Vec<(Api, Vec<Api>)> = Vec::new();
    let mut missing = Vec::new();
    for instance in &plan.instances {
        let (api, kind) = (instance.api, instance.provider_type.as_str());
        if instance.availability == Availability::Disabled {
            continue;
        }
        let position = needs.iter().position(|(known, _)| *known == api).unwrap_or_else(|| {
            needs.push((api, Vec::new()));
            needs.len() - 1
        });
        for need in reference::find(api, kind).map(|known| known.needs).unwrap_or_default() {
            let behaviour = need.behaviour();
            let routed = Api::ROUTED.iter().any(|(_, routed)| *routed == behaviour);
            let provided = plan.instances.iter().any(|other| {
                other.api == behaviour && other.availability != Availability::Disabled
            });
            if !(provided || routed && plan.wants(behaviour)) {
                missing.push((api, instance.provider_id.clone(), kind.to_owned(), *need));
            }
            needs[position].1.push(behaviour);
        }
    }
    for (api, id, kind, need) in missing {
        let index = config
            .providers
            .0
            .iter()
            .find(|(name, _)| *name == api.as_str())
            .and_then(|(_, entries)| entries.iter().position(|entry| entry.provider_id == id));
        let mut loc = vec![key("providers"), key(api.as_str())];
        loc.extend(index.map(Segment::Index));
        let msg = format!(
            "provider `{id}` (`{kind}`) needs the API `{need}`, which is not served; \
             add a provider for it, or add it to `apis`"
        );
        plan.problem(loc, "missing_api", msg);
    }
    match ordered(&needs) {
        Ok(order) => plan.order = order,
        Err(cycle) => {
            let names: Vec<&str> = cycle.iter().map(|api| api.as_str()).collect();
            let msg = format!("these APIs need each other in a circle: {}", names.join(" -> "));
            plan.problem(vec![key("providers")], "cycle", msg);
        }
    }
}

/// The APIs, each after those it needs; or a circle of needs, with its start at both ends.
pub(crate) fn ordered(needs: &[(Api, Vec<Api>)]) -> Result<Vec<Api>, Vec<Api>> {
    fn visit(
        api: Api,
        needs: &HashMap<Api, &[Api]>,
        path: &mut Vec<Api>,
        done: &mut Vec<Api>,
    ) -> Result<(), Vec<Api>> {
        if done.contains(&api) {
            return Ok(());
        }
        if let Some(start) = path.iter().position(|on_path| *on_path == api) {
            let mut cycle = path.split_off(start);
            cycle.push(api);
            return Err(cycle);
        }
        let Some(next) = needs.get(&api) else { return Ok(()) };
        path.push(api);
        for need in *next {
            visit(*need, needs, path, done)?;
        }
        path.pop();
        done.push(api);
        Ok(())
    }
    let by_api: HashMap<Api, &[Api]> =
        needs.iter().map(|(api, needs)| (*api, needs.as_slice())).collect();
    let mut done = Vec::new();
    for (api, _) in needs {
        visit(*api, &by_api, &mut Vec::new(), &mut done)?;
    }
    Ok(done)
}

/// Finds models that can never be registered.
fn check_models(config: &RunConfig, plan: &mut Plan) {
    let configured: Vec<&Planned> =
        plan.instances.iter().filter(|instance| instance.api == Api::Inference).collect();
    let usable: Vec<&str> = configured
        .iter()
        .filter(|instance| instance.availability != Availability::Disabled)
        .map(|instance| instance.provider_id.as_str())
        .collect();
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    for (index, model) in config.models.iter().enumerate() {
        let at = |last: &str| vec![key("models"), Segment::Index(index), key(last)];
        if !is_wanted(model) {
            warnings.push(format!(
                "models[{index}] is left out: it has no id, or its provider is disabled"
            ));
            continue;
        }
        check_targets(model, config, &usable, &mut |mut loc, msg| {
            loc.splice(..0, [key("models"), Segment::Index(index)]);
            problems.push((loc, msg));
        });
        match model.provider_id.as_deref() {
            Some(id) if !usable.contains(&id) => {
                problems.push((at("provider_id"), unknown_provider(id, &usable)));
            }
            None if usable.len() != 1 && model.targets.is_none() => {
                problems.push((at("provider_id"), crate::table::no_provider(&usable)));
            }
            Some(_) | None => {}
        }
        let dimension = model.metadata.get("embedding_dimension").filter(|value| !value.is_null());
        if model.model_type == ModelType::Embedding && dimension.is_none() {
            problems.push((at("metadata"), crate::routers::NO_DIMENSION.to_owned()));
        }
    }
    plan.warnings.extend(warnings);
    for (loc, msg) in problems {
        plan.problem(loc, "invalid_model", msg);
    }
}

/// The text for a provider that is not configured.
pub(crate) fn unknown_provider(id: &str, usable: &[&str]) -> String {
    let hint = nearest(id, usable.iter().copied());
    let hint = hint.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    format!("Provider `{id}` not found{hint}")
}

/// Whether a model of the configuration is to be registered: neither it nor its provider, or all
/// of its targets, are switched off by an unset variable.
pub(crate) fn is_wanted(model: &crate::config::ModelEntry) -> bool {
    let switched_off = |targets: &Vec<Target>| {
        !targets.is_empty() && targets.iter().all(|target| is_disabled(&target.provider_id))
    };
    !model.model_id.is_empty()
        && model.provider_id.as_deref().is_none_or(|id| !is_disabled(id))
        && !model.targets.as_ref().is_some_and(switched_off)
}

/// Finds resources that can never be registered because nobody hosts them. `kind` is their key in
/// the configuration; `one` says that a resource without a provider is that of the only one, and
/// not that of the first.
fn check_hosts<'a>(
    (kind, api, one): (&str, Api, bool),
    entries: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    plan: &mut Plan,
) {
    let usable: Vec<String> = plan
        .instances
        .iter()
        .filter(|one| one.api == api && one.availability != Availability::Disabled)
        .map(|one| one.provider_id.clone())
        .collect();
    let usable: Vec<&str> = usable.iter().map(String::as_str).collect();
    for (index, (id, provider)) in entries.enumerate() {
        if id.is_empty() || provider.is_some_and(is_disabled) {
            plan.warnings.push(format!(
                "{kind}[{index}] is left out: it has no id, or its provider is disabled"
            ));
            continue;
        }
        let msg = match provider {
            Some(id) if !usable.contains(&id) => unknown_provider(id, &usable),
            None if usable.is_empty() => format!("no provider for `{api}` is configured"),
            None if one && usable.len() > 1 => crate::table::no_provider(&usable),
            Some(_) | None => continue,
        };
        let loc = vec![key(kind), Segment::Index(index), key("provider_id")];
        plan.problem(loc, "invalid_resource", msg);
    }
}

/// Finds vector databases, shields and tool groups that can never be registered.
fn check_resources(config: &RunConfig, plan: &mut Plan) {
    let entries = &config.vector_dbs;
    let of = entries.iter().map(|one| (one.vector_db_id.as_str(), one.provider_id.as_deref()));
    check_hosts(("vector_dbs", Api::VectorIo, false), of, plan);
    let of = config.shields.iter();
    let of = of.map(|one| (one.shield_id.as_str(), one.provider_id.as_deref()));
    check_hosts(("shields", Api::Safety, true), of, plan);
    let of = config.tool_groups.iter();
    let of = of.map(|one| (one.toolgroup_id.as_str(), Some(one.provider_id.as_str())));
    check_hosts(("tool_groups", Api::ToolRuntime, true), of, plan);
    for (index, entry) in entries.iter().enumerate().filter(|(_, one)| is_wanted_vector_db(one)) {
        let at = |last: &str| vec![key("vector_dbs"), Segment::Index(index), key(last)];
        let model = config.models.iter().find(|model| model.model_id == entry.embedding_model);
        if let Some(model) = model.filter(|model| model.model_type != ModelType::Embedding) {
            let msg = format!("Model {} is not an embedding model", model.model_id);
            plan.problem(at("embedding_model"), "invalid_vector_db", msg);
        }
        if entry.embedding_dimension < 1 {
            let msg = "Input should be greater than or equal to 1".to_owned();
            plan.problem(at("embedding_dimension"), "greater_than_equal", msg);
        }
    }
}

/// Finds datasets that can never be registered.
fn check_datasets(config: &RunConfig, plan: &mut Plan) {
    let hosts: Vec<String> = plan
        .instances
        .iter()
        .filter(|one| one.api == Api::DatasetIo && one.availability != Availability::Disabled)
        .map(|one| one.provider_id.clone())
        .collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let of = config.datasets.iter().map(|one| {
        let host = crate::routers::host(one.provider_id.as_deref(), &one.source, &hosts);
        (one.dataset_id.as_str(), Some(host))
    });
    check_hosts(("datasets", Api::DatasetIo, false), of, plan);
}

/// Whether a vector database of the configuration is to be registered: neither it nor its provider
/// is switched off by an unset variable.
pub(crate) fn is_wanted_vector_db(entry: &crate::config::VectorDbEntry) -> bool {
    !entry.vector_db_id.is_empty() && entry.provider_id.as_deref().is_none_or(|id| !is_disabled(id))
}

fn warn_of_resources(config: &RunConfig, plan: &mut Plan) {
    let kinds =
        [("scoring_fns", config.scoring_fns.len()), ("benchmarks", config.benchmarks.len())];
    for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
        plan.warnings.push(format!(
            "the {count} `{kind}` of the configuration are not registered: this build does not serve them yet"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::ordered;
    use chaski_api::Api;

    #[test]
    fn every_api_comes_after_those_it_needs() {
        let order = ordered(&[
            (Api::Agents, vec![Api::Safety, Api::Inference]),
            (Api::Inference, vec![]),
            (Api::Safety, vec![Api::Inference, Api::Telemetry]),
        ]);
        assert_eq!(order, Ok(vec![Api::Inference, Api::Safety, Api::Agents]));
    }

    #[test]
    fn a_circle_of_needs_is_found_with_its_members() {
        let order = ordered(&[
            (Api::Inference, vec![]),
            (Api::Eval, vec![Api::Agents, Api::Inference]),
            (Api::Agents, vec![Api::Safety]),
            (Api::Safety, vec![Api::Agents]),
        ]);
        assert_eq!(order, Err(vec![Api::Agents, Api::Safety, Api::Agents]));
        assert_eq!(ordered(&[(Api::Eval, vec![Api::Eval])]), Err(vec![Api::Eval, Api::Eval]));
    }
}
