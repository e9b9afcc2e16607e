//! The provider types of the Llama Stack reference, with the APIs that they use.
//!
//! A configuration that names one of them starts, whether this build contains it or not.

use chaski_api::Api;

/// A provider type of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReferenceType {
    pub api: Api,
    pub provider_type: &'static str,
    /// The APIs that must be served for it.
    pub needs: &'static [Api],
    /// What to use in its place, if it should not be used any more.
    pub deprecated: Option<&'static str>,
}

const fn on(api: Api, provider_type: &'static str, needs: &'static [Api]) -> ReferenceType {
    ReferenceType { api, provider_type, needs, deprecated: None }
}

const fn alone(api: Api, provider_type: &'static str) -> ReferenceType {
    on(api, provider_type, &[])
}

const fn deprecated(
    api: Api,
    provider_type: &'static str,
    needs: &'static [Api],
    instead: &'static str,
) -> ReferenceType {
    ReferenceType { deprecated: Some(instead), ..on(api, provider_type, needs) }
}

const USES_INFERENCE: &[Api] = &[Api::Inference];
const USES_DATASETS: &[Api] = &[Api::DatasetIo, Api::Datasets];

/// All of them.
pub const TYPES: &[ReferenceType] = &[
    alone(Api::Inference, "inline::meta-reference"),
    alone(Api::Inference, "inline::meta-reference-quantized"),
    alone(Api::Inference, "inline::vllm"),
    alone(Api::Inference, "inline::sentence-transformers"),
    alone(Api::Inference, "remote::cerebras"),
    alone(Api::Inference, "remote::ollama"),
    alone(Api::Inference, "remote::vllm"),
    alone(Api::Inference, "remote::tgi"),
    alone(Api::Inference, "remote::hf::serverless"),
    alone(Api::Inference, "remote::hf::endpoint"),
    alone(Api::Inference, "remote::fireworks"),
    alone(Api::Inference, "remote::together"),
    alone(Api::Inference, "remote::bedrock"),
    alone(Api::Inference, "remote::databricks"),
    alone(Api::Inference, "remote::nvidia"),
    alone(Api::Inference, "remote::runpod"),
    alone(Api::Inference, "remote::openai"),
    alone(Api::Inference, "remote::anthropic"),
    alone(Api::Inference, "remote::gemini"),
    alone(Api::Inference, "remote::groq"),
    alone(Api::Inference, "remote::sambanova"),
    alone(Api::Inference, "remote::passthrough"),
    alone(Api::Safety, "inline::prompt-guard"),
    on(Api::Safety, "inline::llama-guard", USES_INFERENCE),
    alone(Api::Safety, "inline::code-scanner"),
    alone(Api::Safety, "remote::bedrock"),
    alone(Api::Safety, "remote::nvidia"),
    on(
        Api::Agents,
        "inline::meta-reference",
        &[
            Api::Inference,
            Api::Safety,
            Api::VectorIo,
            Api::VectorDbs,
            Api::ToolRuntime,
            Api::ToolGroups,
        ],
    ),
    on(Api::VectorIo, "inline::faiss", USES_INFERENCE),
    deprecated(
        Api::VectorIo,
        "inline::meta-reference",
        USES_INFERENCE,
        "Please use the `inline::faiss` provider instead.",
    ),
    on(Api::VectorIo, "inline::sqlite-vec", USES_INFERENCE),
    deprecated(
        Api::VectorIo,
        "inline::sqlite_vec",
        USES_INFERENCE,
        "Please use the `inline::sqlite-vec` provider instead.",
    ),
    on(Api::VectorIo, "remote::chromadb", USES_INFERENCE),
    on(Api::VectorIo, "inline::chromadb", USES_INFERENCE),
    on(Api::VectorIo, "remote::pgvector", USES_INFERENCE),
    on(Api::VectorIo, "remote::weaviate", USES_INFERENCE),
    on(Api::VectorIo, "inline::qdrant", USES_INFERENCE),
    on(Api::VectorIo, "remote::qdrant", USES_INFERENCE),
    on(Api::VectorIo, "remote::milvus", USES_INFERENCE),
    on(Api::VectorIo, "inline::milvus", USES_INFERENCE),
    alone(Api::DatasetIo, "inline::localfs"),
    alone(Api::DatasetIo, "remote::huggingface"),
    on(Api::Scoring, "inline::basic", USES_DATASETS),
    on(Api::Scoring, "inline::llm-as-judge", &[Api::DatasetIo, Api::Datasets, Api::Inference]),
    on(Api::Scoring, "inline::braintrust", USES_DATASETS),
    on(
        Api::Eval,
        "inline::meta-reference",
        &[Api::DatasetIo, Api::Datasets, Api::Scoring, Api::Inference, Api::Agents],
    ),
    on(Api::PostTraining, "inline::torchtune", USES_DATASETS),
    on(Api::ToolRuntime, "inline::rag-runtime", &[Api::VectorIo, Api::Inference]),
    alone(Api::ToolRuntime, "inline::code-interpreter"),
    alone(Api::ToolRuntime, "remote::brave-search"),
    alone(Api::ToolRuntime, "remote::tavily-search"),
    alone(Api::ToolRuntime, "remote::bing-search"),
    alone(Api::ToolRuntime, "remote::wolfram-alpha"),
    alone(Api::ToolRuntime, "remote::model-context-protocol"),
    alone(Api::Telemetry, "inline::meta-reference"),
];

/// The type called `provider_type` of `api`.
pub fn find(api: Api, provider_type: &str) -> Option<&'static ReferenceType> {
    TYPES.iter().find(|known| known.api == api && known.provider_type == provider_type)
}

#[cfg(test)]
mod tests {
    use super::TYPES;
    use chaski_api::Api;
    use std::collections::HashSet;

    #[test]
    fn all_types_are_listed_once() {
        let unique: HashSet<_> =
            TYPES.iter().map(|known| (known.api, known.provider_type)).collect();
        assert_eq!(unique.len(), TYPES.len());
        assert_eq!(TYPES.len(), 55);
        for api in Api::PROVIDABLE {
            assert!(TYPES.iter().any(|known| known.api == api), "{api}");
        }
    }
}
