//! Several provider models behind one entry of `models`: what the entry says, and what is wrong
//! with it.

use super::{ModelEntry, RunConfig};
use crate::resolver::{is_disabled, unknown_provider};
use chaski_api::{
    Segment,
    models::ModelType,
    routing::{MOST_TARGETS, Routing, Strategy, Target},
};

impl ModelEntry {
    /// Where its requests may go, if it names targets. Those of providers that are switched off
    /// are left out.
    pub(crate) fn routing(&self) -> Option<Routing> {
        let targets = self.targets.as_ref()?.iter();
        Some(Routing {
            strategy: self.strategy.unwrap_or(Strategy::Fallback),
            targets: targets.filter(|one| !is_disabled(&one.provider_id)).cloned().collect(),
            cooldown_seconds: self.cooldown_seconds.unwrap_or(Routing::COOLDOWN),
        })
    }

    fn names<'a>(&'a self, target: &'a Target) -> &'a str {
        target.provider_model_id.as_deref().unwrap_or(&self.model_id)
    }
}

/// Reports what is wrong with the targets of `entry`, with paths that start at the entry.
pub(crate) fn check_targets(
    entry: &ModelEntry,
    config: &RunConfig,
    usable: &[&str],
    problem: &mut dyn FnMut(Vec<Segment>, String),
) {
    let key = |name: &'static str| Segment::Key(name.into());
    let Some(targets) = &entry.targets else {
        for (name, given) in [
            ("strategy", entry.strategy.is_some()),
            ("cooldown_seconds", entry.cooldown_seconds.is_some()),
        ] {
            if given {
                let msg = format!("`{name}` chooses among `targets`, of which there are none");
                problem(vec![key(name)], msg);
            }
        }
        return;
    };
    for (name, given) in [
        ("provider_id", entry.provider_id.is_some()),
        ("provider_model_id", entry.provider_model_id.is_some()),
    ] {
        if given {
            let msg = format!("`{name}` and `targets` exclude each other; give it to each target");
            problem(vec![key(name)], msg);
        }
    }
    if targets.is_empty() {
        let msg = "the list is empty; name at least one `provider_id`, or leave `targets` out";
        problem(vec![key("targets")], msg.to_owned());
    }
    if targets.len() > MOST_TARGETS {
        let msg = format!("{} targets are more than the {MOST_TARGETS} allowed", targets.len());
        problem(vec![key("targets")], msg);
    }
    for (index, target) in targets.iter().enumerate() {
        let at = |name: &'static str| vec![key("targets"), Segment::Index(index), key(name)];
        let (id, name) = (target.provider_id.as_str(), entry.names(target));
        if is_disabled(id) {
            continue;
        }
        if !usable.contains(&id) {
            problem(at("provider_id"), unknown_provider(id, usable));
        }
        let same = |other: &Target| other.provider_id == id && entry.names(other) == name;
        if targets[..index].iter().any(same) {
            let msg = format!("model `{name}` of provider `{id}` is in the list already");
            problem(at("provider_model_id"), msg);
        }
        if let Some(msg) = clash(entry, target, config) {
            problem(at("provider_model_id"), msg);
        }
    }
}

/// Why `target` cannot stand for `entry`, from what another entry says about the same model.
fn clash(entry: &ModelEntry, target: &Target, config: &RunConfig) -> Option<String> {
    let name = entry.names(target);
    let dimension = |entry: &ModelEntry| {
        let dimension = entry.metadata.get("embedding_dimension")?;
        dimension.as_i64().filter(|_| entry.model_type == ModelType::Embedding)
    };
    let ours = dimension(entry);
    config.models.iter().filter(|other| !std::ptr::eq(*other, entry)).find_map(|other| {
        let theirs = other.provider_model_id.as_deref().unwrap_or(&other.model_id);
        let same_provider = other.provider_id.as_deref() == Some(target.provider_id.as_str());
        if !same_provider || theirs != name {
            return None;
        }
        if other.model_type != entry.model_type {
            return Some(format!(
                "`{}` is of the type `{}` and cannot stand for one of the type `{}`",
                other.model_id, other.model_type, entry.model_type
            ));
        }
        let theirs = dimension(other)?;
        ours.filter(|ours| *ours != theirs).map(|ours| {
            format!(
                "`{}` makes vectors of length {theirs} and cannot stand for one that makes \
                 vectors of length {ours}",
                other.model_id
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use crate::{
        config::{Environment, Loaded, load},
        testing::catalog,
    };
    use chaski_api::Issue;

    /// A configuration with two providers, one more that is switched off, and `models`.
    fn read(models: &str) -> Result<Loaded, Vec<Issue>> {
        let provider = |id: &str| {
            format!("  - {{provider_id: '{id}', provider_type: remote::vllm, config: {{}}}}\n")
        };
        let text = format!(
            "image_name: t\nproviders:\n  inference:\n{}{}{}models: {models}\n",
            provider("a"),
            provider("b"),
            provider("__disabled__"),
        );
        load(&text, &Environment::new([].into(), "/h", "/h/.chaski"), &catalog())
    }

    fn problems(models: &str) -> Vec<String> {
        read(models).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn targets_are_read_with_their_defaults() {
        let loaded = read(
            "[{model_id: m, strategy: least-busy, cooldown_seconds: 2.5, targets: [\
             {provider_id: a, provider_model_id: x, weight: '3'}, {provider_id: b}, \
             {provider_id: __disabled__}]}]",
        )
        .unwrap();
        let routing = loaded.config.models[0].routing().unwrap();
        assert_eq!(routing.targets.len(), 2, "those of switched off providers are left out");
        assert_eq!((routing.targets[0].weight.0, routing.targets[1].weight.0), (3, 1));
        assert_eq!(routing.strategy.as_str(), "least-busy");
        assert_eq!(loaded.unknown_keys, []);
    }

    #[test]
    fn every_problem_of_targets_has_its_path() {
        assert_eq!(
            problems(
                "[{model_id: m, provider_id: a, provider_model_id: x, targets: [\
                 {provider_id: aa}, {provider_id: b}, {provider_id: b, provider_model_id: m}]}, \
                 {model_id: n, targets: []}, \
                 {model_id: o, provider_id: a, strategy: weighted, cooldown_seconds: 1}]"
            ),
            [
                "models[0].provider_id: `provider_id` and `targets` exclude each other; give it to each target",
                "models[0].provider_model_id: `provider_model_id` and `targets` exclude each other; give it to each target",
                "models[0].targets[0].provider_id: Provider `aa` not found; did you mean `a`?",
                "models[0].targets[2].provider_model_id: model `m` of provider `b` is in the list already",
                "models[1].targets: the list is empty; name at least one `provider_id`, or leave `targets` out",
                "models[2].strategy: `strategy` chooses among `targets`, of which there are none",
                "models[2].cooldown_seconds: `cooldown_seconds` chooses among `targets`, of which there are none",
            ]
        );
        assert_eq!(
            problems(
                "[{model_id: m, strategy: random, cooldown_seconds: -1, cost: {prompt_per_million: -1}, \
                 targets: [{provider_id: a, weight: 0}, {}]}]"
            ),
            [
                "models[0].targets[0].weight: Input should be greater than or equal to 1",
                "models[0].targets[1].provider_id: Field required",
                "models[0].strategy: Input should be 'fallback', 'weighted' or 'least-busy'",
                "models[0].cooldown_seconds: Input should be greater than or equal to 0",
                "models[0].cost.prompt_per_million: Input should be greater than or equal to 0",
            ]
        );
        let many: Vec<String> =
            (0..33).map(|n| format!("{{provider_id: a, provider_model_id: x{n}}}")).collect();
        assert_eq!(
            problems(&format!("[{{model_id: m, targets: [{}]}}]", many.join(", "))),
            ["models[0].targets: 33 targets are more than the 32 allowed"]
        );
    }

    #[test]
    fn targets_must_do_what_the_model_does() {
        assert_eq!(
            problems(
                "[{model_id: small, provider_id: a, model_type: embedding, metadata: {embedding_dimension: 384}}, \
                 {model_id: large, provider_id: b, model_type: embedding, metadata: {embedding_dimension: 768}}, \
                 {model_id: talks, provider_id: b}, \
                 {model_id: e, model_type: embedding, metadata: {embedding_dimension: 384}, targets: [\
                 {provider_id: a, provider_model_id: small}, {provider_id: b, provider_model_id: large}, \
                 {provider_id: b, provider_model_id: talks}]}]"
            ),
            [
                "models[3].targets[1].provider_model_id: `large` makes vectors of length 768 and cannot stand for one that makes vectors of length 384",
                "models[3].targets[2].provider_model_id: `talks` is of the type `llm` and cannot stand for one of the type `embedding`",
            ]
        );
    }

    #[test]
    fn a_model_whose_targets_are_all_switched_off_is_left_out() {
        let loaded = read("[{model_id: m, targets: [{provider_id: ''}]}]").unwrap();
        let left_out = "models[0] is left out: it has no id, or its provider is disabled";
        assert!(loaded.warnings.iter().any(|warning| warning == left_out), "{:?}", loaded.warnings);
    }
}
