use super::{Environment, ForwardHeaders, Loaded, load, schema};
use crate::testing::catalog;
use chaski_api::Issue;

fn environment() -> Environment {
    let variables = [("STORE".to_owned(), "/s".to_owned())];
    Environment::new(variables.into(), "/h", "/h/.chaski")
}

fn read(text: &str) -> Result<Loaded, Vec<Issue>> {
    load(text, &environment(), &catalog())
}

/// The problems of a configuration, a line each.
fn problems(text: &str) -> Vec<String> {
    read(text).unwrap_err().iter().map(ToString::to_string).collect()
}

/// A configuration with one vLLM provider, and `more`.
fn with(more: &str) -> String {
    format!(
        "version: '2'\nimage_name: t\nproviders:\n  inference:\n  - provider_id: vllm\n    \
         provider_type: remote::vllm\n    config: {{url: 'http://h/v1', max_tokens: '4096', tls_verify: off}}\n{more}\n"
    )
}

#[test]
fn a_minimal_configuration_has_the_defaults_of_the_reference() {
    let loaded = read("image_name: t\nproviders: {}").unwrap();
    let config = loaded.config;
    assert_eq!(config.version.0, "2");
    assert_eq!(config.server.port.0, 8321);
    assert_eq!(config.server.reported_version, "0.1.7");
    assert_eq!(config.server.auth, None);
    assert_eq!(config.metadata_store, None);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn numbers_and_truth_values_may_be_texts() {
    let loaded = read(&with("server: {port: '9000', disable_ipv6: yes}")).unwrap();
    assert_eq!(loaded.config.server.port.0, 9000);
    assert!(loaded.config.server.disable_ipv6);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn limits_of_an_upstream_are_checked_with_their_paths() {
    let network = |text: &str| {
        format!(
            "image_name: t\nproviders:\n  inference:\n  - provider_id: vllm\n    provider_type: \
             remote::vllm\n    config: {{url: 'http://h/v1'}}\n    network: {text}\n"
        )
    };
    let text = network("{read_seconds: '2.5', circuit_breaker: {failures: 3}}");
    let loaded = read(&text).unwrap();
    let given = loaded.config.providers.0[0].1[0].network.as_ref().unwrap();
    assert_eq!((given.read_seconds.0, given.circuit_breaker.failures.0), (2.5, 3));
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let text = network(
        "{connect_seconds: 0, retries: 11, concurrent_requests: 0, total_seconds: long, \
         circuit_breaker: {failure_percent: 101, open_seconds: -1}}",
    );
    let at = "providers.inference[0].network";
    assert_eq!(
        problems(&text),
        [
            format!("{at}.connect_seconds: Input should be greater than 0"),
            format!(
                "{at}.total_seconds: Input should be a valid number, unable to parse string as a number"
            ),
            format!("{at}.concurrent_requests: Input should be greater than or equal to 1"),
            format!("{at}.retries: Input should be less than or equal to 10"),
            format!(
                "{at}.circuit_breaker.failure_percent: Input should be less than or equal to 100"
            ),
            format!("{at}.circuit_breaker.open_seconds: Input should be greater than 0"),
        ]
    );
    let odd = read(&network("{read_second: 1}")).unwrap().warnings;
    let said = format!(
        "{at}.read_second: unknown key `read_second` is ignored; did you mean `read_seconds`?"
    );
    assert_eq!(odd, [said]);
}

#[test]
fn the_version_may_be_a_number_or_missing() {
    for version in ["version: 2", "version: '2'", "version: 1", ""] {
        let loaded = read(&format!("{version}\nimage_name: t\nproviders: {{}}")).unwrap();
        assert_eq!(loaded.config.version.0, "2", "{version}");
    }
}

#[test]
fn providers_are_looked_at_although_the_rest_cannot_be_read() {
    let text = "image_name: t\nproviders:\n  inference:\n  - {provider_id: a, provider_type: remote::vlm, config: {}}\n\
                server: {port: eighty}\n";
    let found = problems(text);
    assert!(found[0].starts_with("server.port: "), "{found:?}");
    assert!(found.iter().any(|problem| problem.contains("remote::vlm")), "{found:?}");
}

#[test]
fn all_problems_are_reported_at_once_with_their_paths() {
    let text = "image_name: ['x']\nproviders:\n  inference:\n  - provider_id: a\n    provider_type: remote::vllm\n\
                server: {port: 80, auth: {}}\nmetadata_store: {db_path: x}\nmodels: [{}]\n";
    assert_eq!(
        problems(text),
        [
            "image_name: Input should be a valid string",
            "providers.inference[0].config: Field required",
            "metadata_store: Unable to extract tag using discriminator 'type'",
            "models[0].model_id: Field required",
            "server.port: Input should be greater than or equal to 1024",
            "server.auth.endpoint: Field required",
        ]
    );
    assert_eq!(problems("a: 1"), ["image_name: Field required", "providers: Field required"]);
    assert_eq!(
        problems(&with("server: {port: 70000}")),
        ["server.port: Input should be less than or equal to 65535"]
    );
}

#[test]
fn paths_through_a_union_name_only_keys_of_the_file() {
    let text = with("metadata_store: {type: postgres, host: h}");
    assert_eq!(problems(&text), ["metadata_store.user: Field required"]);
    assert_eq!(
        problems(&with("metadata_store: {type: postgres, user: u, password: p}")),
        [
            "metadata_store.type: this build does not contain the store `postgres` yet; use `type: sqlite`"
        ]
    );
}

#[test]
fn the_settings_of_providers_are_checked_too() {
    let text = with(
        "  - {provider_id: b, provider_type: remote::vllm, config: {max_tokens: x, url: bad}}",
    );
    assert_eq!(
        problems(&text),
        ["providers.inference[1].config.max_tokens: Input should be a valid integer, \
          unable to parse string as an integer"]
    );
    let text = with("  - {provider_id: b, provider_type: remote::vllm, config: {url: bad}}");
    assert_eq!(problems(&text), ["providers.inference[1].config.url: must be an address"]);
}

#[test]
fn an_unknown_provider_type_is_a_problem_that_names_the_nearest() {
    let text = with("  - {provider_id: b, provider_type: remote::vlm, config: {}}");
    assert_eq!(
        problems(&text),
        ["providers.inference[1].provider_type: Provider `remote::vlm` is not available for API \
          `Api.inference`; did you mean `remote::vllm`?"]
    );
}

#[test]
fn what_cannot_have_providers_is_refused_in_the_words_of_the_reference() {
    let text = "image_name: t\napis: [telemetry, zzz]\nproviders: {models: [], inspect: [], foo: [], saftey: []}";
    assert_eq!(
        problems(text),
        [
            "apis[1]: 'zzz' is not a valid Api",
            "providers.models: Provider for `models` is automatically provided and cannot be overridden",
            "providers.inspect: Provider for `inspect` is automatically provided and cannot be overridden",
            "providers.foo: 'foo' is not a valid Api",
            "providers.saftey: 'saftey' is not a valid Api; did you mean `safety`?",
        ]
    );
}

#[test]
fn two_providers_of_one_api_need_two_names() {
    let text = with("  - {provider_id: vllm, provider_type: remote::openai, config: {}}");
    assert_eq!(
        problems(&text),
        ["providers.inference[1].provider_id: another provider of `inference` is called `vllm` \
          too; give each its own name"]
    );
    let lacking = "  - {provider_id: n, provider_type: remote::nvidia, config: {}}\n  \
                   - {provider_id: n, provider_type: remote::nvidia, config: {config_id: x}}";
    let warnings = read(&with(lacking)).unwrap().warnings;
    assert!(warnings.iter().any(|one| one.contains("called `n` too")), "{warnings:?}");
    let same = with(
        "  - {provider_id: vllm, provider_type: remote::vllm, \
         config: {url: 'http://h/v1', max_tokens: '4096', tls_verify: off}}",
    );
    assert!(read(&same).is_ok());
}

#[test]
fn a_missing_variable_stops_the_start_with_its_path() {
    assert_eq!(
        problems("image_name: ${env.NOT_THERE}\nproviders: {}"),
        ["Environment variable 'NOT_THERE' not set or empty at image_name"]
    );
}

#[test]
fn types_of_the_reference_that_this_build_lacks_are_warnings() {
    let loaded = read(&with(
        "  - {provider_id: tgi0, provider_type: remote::tgi, config: {url: x}}\n  \
         - {provider_id: '', provider_type: remote::vllm, config: {}}\n  \
         - {provider_id: __disabled__, provider_type: remote::nobody, config: {}}\n  \
         safety:\n  - {provider_id: llama-guard, provider_type: inline::llama-guard, config: {}}\n\
         shields: [{shield_id: s}]\n\
         benchmarks: [{benchmark_id: b, dataset_id: d, scoring_functions: []}]",
    ))
    .unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "Provider `remote::vllm` for API `Api.inference` is disabled",
            "Provider `remote::nobody` for API `Api.inference` is disabled",
            "this build does not contain these providers of `inference` yet, they are unavailable: \
             `tgi0` (`remote::tgi`)",
            "this build does not contain these providers of `safety` yet, they are unavailable: \
             `llama-guard` (`inline::llama-guard`)",
            "the 1 `benchmarks` of the configuration are not registered: this build does not serve them yet",
        ]
    );
}

#[test]
fn datasets_are_read_and_those_without_a_provider_are_named() {
    let text = with(
        "  datasetio:\n  - {provider_id: files, provider_type: inline::localfs, config: {}}\n\
         datasets:\n\
         - {dataset_id: a, purpose: eval/messages-answer, source: {rows: [{n: 1}]}}\n\
         - {dataset_id: b, purpose: eval/messages-answer, source: {uri: x.csv}, provider_id: ''}\n\
         - {dataset_id: c, purpose: eval/messages-answer, source: {uri: 'huggingface://x'}}\n\
         - {dataset_id: d, purpose: eval/messages-answer, source: {uri: x.csv}, provider_id: fils}",
    );
    assert_eq!(
        problems(&text),
        [
            "datasets[2].provider_id: Provider `huggingface` not found",
            "datasets[3].provider_id: Provider `fils` not found; did you mean `files`?",
        ]
    );
    let wrong = with("datasets: [{dataset_id: a, purpose: zzz, source: {type: rows}}]");
    let found = problems(&wrong);
    assert!(
        found[0].starts_with("datasets[0].purpose: Input should be 'post-training"),
        "{found:?}"
    );
    assert!(found.iter().any(|problem| problem.ends_with("rows: Field required")), "{found:?}");
}

#[test]
fn a_provider_whose_needs_are_not_served_is_named() {
    let text = "image_name: t\napis: [agents]\nproviders:\n  agents:\n  \
                - {provider_id: meta, provider_type: 'inline::meta-reference', config: {}}";
    let found = problems(text);
    assert_eq!(
        found[0],
        "providers.agents[0]: provider `meta` (`inline::meta-reference`) needs the API `inference`, \
         which is not served; add a provider for it, or add it to `apis`"
    );
    assert_eq!(found.len(), 6);
}

#[test]
fn models_that_can_never_be_registered_are_problems() {
    let two = "  - {provider_id: two, provider_type: remote::vllm, config: {}}\n";
    let models = "models: [{model_id: a, provider_id: vlm}, {model_id: b}, \
                  {model_id: c, provider_id: two, model_type: embedding}, {model_id: '', provider_id: zzz}, \
                  {model_id: d, provider_id: ''}]";
    assert_eq!(
        problems(&with(&format!("{two}{models}"))),
        [
            "models[0].provider_id: Provider `vlm` not found; did you mean `vllm`?",
            "models[1].provider_id: No provider specified and multiple providers available. Please \
             specify a provider_id. Available providers: dict_keys(['vllm', 'two'])",
            "models[2].metadata: Embedding model must have an embedding dimension in its metadata",
        ]
    );
    assert!(read(&with("models: [{model_id: only}]")).is_ok());
}

#[test]
fn unknown_keys_are_warnings_with_the_nearest_known_name() {
    let loaded = read(&with(
        "  - {provider_id: o, provider_type: remote::openai, config: {api_kye: x}}\n\
         servr: {}\nserver: {prot: 1, auth: {endpoint: 'http://a', ttl: 3}}\nlogging: {}\n\
         logging_config: {category_levels: {server: debug}}\n\
         metadata_store: {type: sqlite, path: x}\nmodels: [{model_id: m, provider_id: o, metadata: {any: 1}, modell_type: llm}]",
    ))
    .unwrap();
    let lines: Vec<String> = loaded.unknown_keys.iter().map(ToString::to_string).collect();
    assert_eq!(lines[0], "servr: unknown key `servr` is ignored; did you mean `server`?");
    assert_eq!(lines[1], "server.prot: unknown key `prot` is ignored; did you mean `port`?");
    assert!(
        lines[2].starts_with("server.auth.ttl: unknown key `ttl` is ignored; "),
        "{}",
        lines[2]
    );
    assert!(lines[3].starts_with("metadata_store.path: unknown key `path`"), "{}", lines[3]);
    assert!(lines[4].ends_with("did you mean `model_type`?"), "{}", lines[4]);
    assert!(
        lines[5].starts_with("providers.inference[1].config.api_kye: ")
            && lines[5].ends_with("did you mean `api_key`?"),
        "{}",
        lines[5]
    );
    assert_eq!(lines.len(), 6);
    assert_eq!(loaded.warnings, lines);
    assert_eq!(loaded.config.category_levels()["server"], "debug");
}

#[test]
fn authentication_is_configured_as_in_the_reference_and_finer() {
    let auth = |text: &str| read(&with(text)).unwrap().config.server.auth.unwrap();
    let plain = auth("server: {auth: {endpoint: 'http://a/auth'}}");
    assert_eq!(plain.endpoint, "http://a/auth");
    assert_eq!(plain.forward_headers, ForwardHeaders::Safe);
    let finer = auth(
        "server: {auth: {endpoint: 'http://a', ttl_seconds: 0, timeout_seconds: 0.5, forward_headers: all}}",
    );
    assert_eq!((finer.ttl_seconds.0, finer.forward_headers), (0, ForwardHeaders::All));
    assert_eq!(
        problems(&with("server: {auth: {endpoint: 'http://a', forward_headers: some}}")),
        ["server.auth.forward_headers: Input should be 'safe', 'all' or 'none'"]
    );
}

#[test]
fn an_old_configuration_is_upgraded_when_it_is_read() {
    let loaded = read(
        "image_name: old\nrouting_table:\n  inference:\n  - {provider_type: remote::ollama, config: {url: u}}\n\
         apis_to_serve: []\n",
    )
    .unwrap();
    assert_eq!(loaded.config.providers.0[0].1[0].provider_id, "remote::ollama");
}

#[test]
fn the_schema_describes_every_field() {
    fn undescribed(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if property["description"].as_str().is_none_or(str::is_empty) {
                found.push(format!("{path}.{name}"));
            }
        }
    }
    let schema = schema();
    let mut found = Vec::new();
    undescribed(&schema, "", &mut found);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        undescribed(definition, name, &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(schema["properties"]["server"]["default"]["port"], 8321);
}

#[test]
fn the_settings_of_the_server_are_checked_for_sense() {
    assert_eq!(
        problems(&with(
            "server: {tls_certfile: /c.pem, auth: {endpoint: nowhere}, egress_allow: ['h:1', h], \
             cors_origins: ['*', 'http://localhost:3000', localhost, 'https://h/path'], \
             reported_version: latest}"
        )),
        [
            "server.tls_keyfile: `tls_certfile` is given, so this one is needed too",
            "server.auth.endpoint: `nowhere` is not an address, such as `http://localhost:9000/auth`",
            "server.cors_origins[2]: `localhost` is not an origin, such as `https://app.example.com`, or `*`",
            "server.cors_origins[3]: `https://h/path` is not an origin, such as `https://app.example.com`, or `*`",
            "server.egress_allow[1]: `h` is not a host and a port, such as `10.0.0.5:8080`",
            "server.reported_version: `latest` is not a version, such as `0.1.7`",
        ]
    );
}

#[test]
fn deprecated_types_are_named_with_what_to_use_instead() {
    let text =
        with("  vector_io:\n  - {provider_id: v, provider_type: 'inline::sqlite_vec', config: {}}");
    assert_eq!(
        read(&text).unwrap().warnings[0],
        "Provider `inline::sqlite_vec` for API `Api.vector_io` is deprecated and will be removed in \
         a future release: Please use the `inline::sqlite-vec` provider instead."
    );
}

#[test]
fn shields_of_models_are_read_and_checked() {
    let shields = "shields:\n- {shield_id: guard, provider_id: p}\n";
    let model = |shields: &str| format!("models:\n- {{model_id: m, shields: {shields}}}\n");
    let text = with(&model("{input: [gard], output: [guard, none], stream_window: 0}"));
    assert_eq!(
        problems(&text),
        ["models[0].shields.stream_window: Input should be greater than or equal to 1"]
    );
    let text = with(&format!("{shields}{}", model("{input: [gard], output: [guard, none]}")));
    let of_models = |problem: &&String| problem.starts_with("models[0].shields");
    let found = problems(&text);
    let found: Vec<&String> = found.iter().filter(of_models).collect();
    assert_eq!(
        found,
        [
            "models[0].shields.input[0]: there is no shield `gard` in `shields`; did you mean `guard`?",
            "models[0].shields.output[1]: there is no shield `none` in `shields`",
        ]
    );
    let text = with("safety: {default_shield_id: guard, shields: {output: [guard]}}");
    assert_eq!(
        problems(&text),
        [
            "safety.shields.output[0]: there is no shield `guard` in `shields`",
            "safety.default_shield_id: there is no shield `guard` in `shields`",
        ]
    );
    let vectors = "models:\n- {model_id: e, model_type: embedding, metadata: {embedding_dimension: 3}, shields: {}}\n";
    assert_eq!(
        problems(&with(vectors)),
        ["models[0].shields: only models that generate text have shields; remove them"]
    );
}
