//! The inference providers, one folder each, and their table.
//!
//! Without the feature `embedded` those are left out that run models in this process.
#![cfg_attr(
    not(feature = "embedded"),
    expect(dead_code, reason = "some is for the providers that are left out")
)]

mod adapter;
mod anthropic;
mod azure;
mod bedrock;
mod cerebras;
mod databricks;
mod deepseek;
#[cfg(feature = "embedded")]
mod embedded;
mod fireworks;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gemini;
mod groq;
mod head;
mod hf_endpoint;
mod hf_serverless;
mod hosted;
mod images;
#[cfg(feature = "embedded")]
mod inline_vllm;
#[cfg(feature = "embedded")]
mod llama_cpp;
mod llama_cpp_server;
mod llama_models;
mod lm_studio;
#[cfg(feature = "embedded")]
mod local;
#[cfg(feature = "embedded")]
mod meta_reference;
#[cfg(feature = "embedded")]
mod meta_reference_quantized;
mod mistral;
mod more;
mod nvidia;
mod ollama;
mod openai;
mod openai_compatible;
mod openrouter;
mod passthrough;
mod raw_prompt;
mod runpod;
mod sambanova;
#[cfg(feature = "embedded")]
mod sentence_transformers;
#[cfg(feature = "embedded")]
mod shelf;
#[cfg(test)]
mod tests;
mod text_embeddings_inference;
mod text_generation;
mod tgi;
mod thoughts;
mod together;
mod translated;
mod vllm;

use chaski_provider::{Entry, InferenceProvider};

/// All inference providers of this build.
pub const ALL: &[Entry<dyn InferenceProvider>] = &[
    #[cfg(feature = "embedded")]
    Entry::of::<llama_cpp::LlamaCpp>(),
    #[cfg(feature = "embedded")]
    Entry::of::<sentence_transformers::SentenceTransformers>(),
    #[cfg(feature = "embedded")]
    Entry::of::<meta_reference::MetaReference>(),
    #[cfg(feature = "embedded")]
    Entry::of::<meta_reference_quantized::MetaReferenceQuantized>(),
    #[cfg(feature = "embedded")]
    Entry::of::<inline_vllm::InlineVllm>(),
    Entry::of::<ollama::Ollama>(),
    Entry::of::<openai::OpenAi>(),
    Entry::of::<vllm::Vllm>(),
    Entry::of::<openai_compatible::OpenAiCompatible>(),
    Entry::of::<anthropic::Anthropic>(),
    Entry::of::<azure::Azure>(),
    Entry::of::<bedrock::Bedrock>(),
    Entry::of::<cerebras::Cerebras>(),
    Entry::of::<databricks::Databricks>(),
    Entry::of::<deepseek::DeepSeek>(),
    Entry::of::<fireworks::Fireworks>(),
    Entry::of::<gemini::Gemini>(),
    Entry::of::<groq::Groq>(),
    Entry::of::<hf_endpoint::HfEndpoint>(),
    Entry::of::<hf_serverless::HfServerless>(),
    Entry::of::<llama_cpp_server::LlamaCppServer>(),
    Entry::of::<lm_studio::LmStudio>(),
    Entry::of::<mistral::Mistral>(),
    Entry::of::<nvidia::Nvidia>(),
    Entry::of::<openrouter::OpenRouter>(),
    Entry::of::<passthrough::Passthrough>(),
    Entry::of::<runpod::RunPod>(),
    Entry::of::<sambanova::SambaNova>(),
    Entry::of::<text_embeddings_inference::TextEmbeddingsInference>(),
    Entry::of::<tgi::Tgi>(),
    Entry::of::<together::Together>(),
];
