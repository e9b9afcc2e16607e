//! The run configurations that are compiled in.

/// A named run configuration.
#[derive(Debug, Clone, Copy)]
pub struct Template {
    pub name: &'static str,
    /// One sentence for lists.
    pub description: &'static str,
    /// The text of its `run.yaml`.
    pub run_yaml: &'static str,
}

/// The template that runs when none is named.
pub const DEFAULT: &str = "starter";

/// All templates, the default first.
pub const ALL: &[Template] = &[
    Template {
        name: DEFAULT,
        description: "A model and an embedder in the process, and the remote providers that the \
                      environment has an address or a key for.",
        run_yaml: include_str!("../templates/starter.yaml"),
    },
    Template {
        name: "ollama",
        description: "Chat and embeddings by an Ollama server.",
        run_yaml: include_str!("../templates/ollama.yaml"),
    },
    Template {
        name: "ollama-with-safety",
        description: "The same, with a safety model and shields.",
        run_yaml: include_str!("../templates/ollama-with-safety.yaml"),
    },
    Template {
        name: "remote-vllm",
        description: "Chat by a vLLM server, embeddings in the process.",
        run_yaml: include_str!("../templates/remote-vllm.yaml"),
    },
    Template {
        name: "remote-vllm-with-safety",
        description: "The same, with a second vLLM server for the safety model.",
        run_yaml: include_str!("../templates/remote-vllm-with-safety.yaml"),
    },
];

/// The template called `name`.
pub fn find(name: &str) -> Option<&'static Template> {
    ALL.iter().find(|template| template.name == name)
}

#[cfg(test)]
mod tests {
    use super::{ALL, DEFAULT};
    use crate::{
        Catalog, Environment, config,
        resolver::{Availability, plan},
        testing,
    };
    use chaski_api::{Api, Error, Result};
    use chaski_provider::{
        Deps, Entry, Provider, ProviderConfig, Spec, ToolRuntimeProvider, VectorIoProvider,
    };
    use serde_json::{Value, json};
    use std::collections::{BTreeMap, HashSet};
    use std::sync::Arc;

    chaski_api::wire! {
        /// The settings of the index, as far as templates name them.
        struct IndexConfig {
            /// The folder.
            path: Option<String>,
        }
    }

    impl ProviderConfig for IndexConfig {
        fn sample(dir: &str) -> Value {
            json!({ "path": dir })
        }
    }

    /// The index, which only stands in configurations here.
    struct Index;

    impl Provider for Index {
        type Api = dyn VectorIoProvider;
        type Config = IndexConfig;
        const SPEC: Spec = Spec::new(Api::VectorIo, "inline::index", "The index.");

        async fn build(_: IndexConfig, _: Deps) -> Result<Arc<dyn VectorIoProvider>> {
            Err(Error::unavailable("it only stands in configurations"))
        }
    }

    chaski_api::wire! {
        /// No settings.
        struct NoSettings {}
    }

    impl ProviderConfig for NoSettings {
        fn sample(_: &str) -> Value {
            json!({})
        }
    }

    /// The tool that fetches pages, which the reference does not have; it only stands in
    /// configurations here.
    struct WebFetch;

    impl Provider for WebFetch {
        type Api = dyn ToolRuntimeProvider;
        type Config = NoSettings;
        const SPEC: Spec = Spec::new(Api::ToolRuntime, "inline::web-fetch", "Fetches pages.");

        async fn build(_: NoSettings, _: Deps) -> Result<Arc<dyn ToolRuntimeProvider>> {
            Err(Error::unavailable("it only stands in configurations"))
        }
    }

    fn catalog() -> Catalog {
        const STORES: &[Entry<dyn VectorIoProvider>] = &[Entry::of::<Index>()];
        const TOOLS: &[Entry<dyn ToolRuntimeProvider>] = &[Entry::of::<WebFetch>()];
        Catalog { vector_io: STORES, tool_runtime: TOOLS, ..testing::catalog() }
    }

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Environment::new(variables, "/h", "/h/.chaski")
    }

    #[test]
    fn every_template_loads() {
        let environment = environment(&[
            ("INFERENCE_MODEL", "llama"),
            ("SAFETY_MODEL", "guard"),
            ("VLLM_URL", "http://localhost:1/v1"),
            ("SAFETY_VLLM_URL", "http://localhost:2/v1"),
        ]);
        for template in ALL {
            let loaded = config::load(template.run_yaml, &environment, &catalog())
                .unwrap_or_else(|issues| panic!("{}: {issues:?}", template.name));
            assert!(template.name.starts_with(&loaded.config.image_name), "{}", template.name);
            assert_eq!(loaded.unknown_keys, [], "{}", template.name);
        }
        let names: HashSet<&str> = ALL.iter().map(|template| template.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(ALL[0].name, DEFAULT);
    }

    #[test]
    fn starter_needs_nothing_and_switches_on_what_the_environment_knows() {
        let enabled = |variables: &[(&str, &str)]| {
            let loaded =
                config::load(ALL[0].run_yaml, &environment(variables), &catalog()).unwrap();
            let plan = plan(&loaded.config, &catalog());
            plan.instances
                .into_iter()
                .filter(|instance| instance.availability == Availability::Contained)
                .map(|instance| instance.provider_id)
                .collect::<Vec<_>>()
        };
        assert_eq!(enabled(&[]), ["llama-cpp", "sentence-transformers", "index", "web-fetch"]);
        assert_eq!(
            enabled(&[
                ("ENABLE_OLLAMA", "1"),
                ("VLLM_URL", "http://v/v1"),
                ("OPENAI_API_KEY", "k")
            ]),
            [
                "llama-cpp",
                "sentence-transformers",
                "ollama",
                "vllm",
                "openai",
                "index",
                "web-fetch"
            ]
        );
        assert_eq!(
            enabled(&[("OLLAMA_URL", "http://o")]),
            ["llama-cpp", "sentence-transformers", "ollama", "index", "web-fetch"]
        );
        assert_eq!(
            enabled(&[("OLLAMA_URL", "http://o"), ("ENABLE_OLLAMA", "1")]),
            ["llama-cpp", "sentence-transformers", "ollama", "index", "web-fetch"]
        );
    }
}
