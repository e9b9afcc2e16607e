//! The templates, against the providers that the program really contains.

use chaski_stack::{Catalog, Environment, config, templates};
use std::collections::BTreeMap;

const CATALOG: Catalog = Catalog {
    inference: chaski_providers_inference::ALL,
    vector_io: chaski_providers_vector_io::ALL,
    tool_runtime: chaski_providers_tools::ALL,
    safety: chaski_providers_safety::ALL,
    agents: chaski_providers_agents::ALL,
    datasetio: chaski_providers_datasetio::ALL,
    telemetry: chaski_providers_telemetry::ALL,
};

fn environment() -> Environment {
    let variables: BTreeMap<String, String> = [
        ("INFERENCE_MODEL", "llama"),
        ("SAFETY_MODEL", "guard"),
        ("VLLM_URL", "http://localhost:8000/v1"),
        ("SAFETY_VLLM_URL", "http://localhost:8001/v1"),
        ("OLLAMA_URL", "http://localhost:11434"),
        ("ENABLE_OLLAMA", "1"),
        ("OPENAI_API_KEY", "a key"),
        ("ANTHROPIC_API_KEY", "a key"),
        ("AZURE_API_BASE", "a URL"),
        ("AZURE_API_KEY", "a key"),
        ("CHROMADB_URL", "http://localhost:8000"),
        ("CEREBRAS_API_KEY", "a key"),
        ("DATABRICKS_API_TOKEN", "a key"),
        ("DATABRICKS_URL", "a URL"),
        ("DEEPSEEK_API_KEY", "a key"),
        ("FIREWORKS_API_KEY", "a key"),
        ("GEMINI_API_KEY", "a key"),
        ("GROQ_API_KEY", "a key"),
        ("HF_API_TOKEN", "a key"),
        ("INFERENCE_ENDPOINT_NAME", "a name"),
        ("MILVUS_ENDPOINT", "http://localhost:19530"),
        ("MISTRAL_API_KEY", "a key"),
        ("OPENAI_COMPATIBLE_URL", "a URL"),
        ("OPENROUTER_API_KEY", "a key"),
        ("PASSTHROUGH_API_KEY", "a key"),
        ("PASSTHROUGH_URL", "a URL"),
        ("PGVECTOR_DB", "a database"),
        ("PGVECTOR_PASSWORD", "a password"),
        ("PGVECTOR_USER", "a user"),
        ("SAMBANOVA_API_KEY", "a key"),
        ("TGI_URL", "a URL"),
        ("TOGETHER_API_KEY", "a key"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    Environment::new(variables, "/home/somebody", "/home/somebody/.chaski")
}

#[test]
fn every_template_fits_the_providers() {
    for template in templates::ALL {
        let loaded = config::load(template.run_yaml, &environment(), &CATALOG)
            .unwrap_or_else(|issues| panic!("{}: {issues:?}", template.name));
        assert_eq!(loaded.unknown_keys, [], "{}", template.name);
        let missing = loaded
            .warnings
            .iter()
            .filter(|warning| warning.contains("providers of `inference`"))
            .count();
        assert_eq!(missing, 0, "{}: {:?}", template.name, loaded.warnings);
    }
}

#[test]
fn every_provider_takes_its_own_sample() {
    for known in CATALOG.all() {
        let sample = (known.sample)("/home/somebody/.chaski/distributions/sample");
        let settings = environment().substitute(sample).unwrap_or_else(|issues| {
            panic!("{}: {issues:?}", known.spec.provider_type);
        });
        let problems = (known.check)(settings);
        assert!(problems.is_empty(), "{}: {problems:?}", known.spec.provider_type);
    }
}
