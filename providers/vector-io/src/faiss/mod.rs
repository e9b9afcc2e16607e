//! The stores in the process of the reference, which need Python: the index takes their place.

use crate::index::{
    InlineIndex,
    folder::{self, Folder},
    text::TextConfig,
};
use chaski_api::{Api, Reader, Result};
use chaski_provider::{Deps, Provider, ProviderConfig, Spec, VectorIoProvider};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The other types.
const ALIASES: &[&str] = &[
    "inline::meta-reference",
    "inline::sqlite-vec",
    "inline::sqlite_vec",
    "inline::chromadb",
    "inline::qdrant",
    "inline::milvus",
];

const DOCS: &str = "\
The stores that Llama Stack runs in its own process, under their names, so that their configurations start unchanged.
What runs is `inline::index`, and the log says so.

- The files that `kvstore`, `db_path` or `path` names are not read, and never changed: chunks are kept in a folder with
  their name and `.index` behind it. Insert the documents again.
- Without any of them, the folder is that of `inline::index`.
";

chaski_api::wire! {
    /// The configuration of `inline::faiss` and the other stores.
    pub struct FaissConfig {
        /// The folder of Qdrant. It is not read.
        pub path: Option<String>,
        /// The file or folder of another store. It is not read.
        pub db_path: Option<String>,
        /// Where faiss keeps its data. It is not read.
        pub kvstore: Option<Map<String, Value>>,
        /// How texts are read for the search by words.
        pub text: Option<TextConfig>,
    }
}

impl ProviderConfig for FaissConfig {
    fn sample(dir: &str) -> Value {
        let db_path = format!("${{env.SQLITE_STORE_DIR:{dir}}}/faiss_store.db");
        json!({ "kvstore": { "type": "sqlite", "db_path": db_path } })
    }

    fn validate(&self, reader: &mut Reader) {
        if let Some(text) = &self.text {
            reader.key("text", |reader| text.validate(reader));
        }
    }
}

/// Makes the index for the configuration of another store.
pub(crate) struct Faiss;

impl Provider for Faiss {
    type Api = dyn VectorIoProvider;
    type Config = FaissConfig;
    const SPEC: Spec = Spec {
        docs: DOCS,
        aliases: ALIASES,
        environment: folder::VARIABLES,
        ..Spec::new(
            Api::VectorIo,
            "inline::faiss",
            "The in-process stores of Llama Stack, served by `inline::index`.",
        )
    };

    async fn build(config: FaissConfig, deps: Deps) -> Result<Arc<dyn VectorIoProvider>> {
        let folder = Folder::beside(&config, &deps.environment)?;
        tracing::info!(
            target: "tools",
            "the index in the process takes the place of the store that is configured: chunks are kept in `{}`, \
             and those of the other store are not read",
            folder.shown()
        );
        Ok(Arc::new(InlineIndex::new(folder, config.text, deps)))
    }
}
