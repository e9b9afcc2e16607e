//! The rules of the table of vector databases beyond those of every table.

use super::declared::Declared;
use crate::{RoutingTable, config::RunConfig, resolver::is_wanted_vector_db};
use chaski_api::{
    Error, ErrorKind, Result,
    endpoints::vector_dbs::RegisterVectorDbRequest,
    models::{Model, ModelType},
    retrieval::{VectorDb, VectorDbTag},
};
use serde_json::Value;

impl RoutingTable<VectorDb> {
    /// Registers the vector database that a request describes, or updates it; answers what is
    /// stored. The length of the vectors is that of the embedding model, one of `models`.
    ///
    /// # Errors
    /// The model cannot be used, the provider is not there or has a database of the same name with
    /// other vectors.
    pub async fn register_vector_db(
        &self,
        models: &RoutingTable<Model>,
        request: RegisterVectorDbRequest,
    ) -> Result<VectorDb> {
        if request.vector_db_id.is_empty() {
            return Err(Error::invalid("`vector_db_id` is empty; give the database a name"));
        }
        let id = &request.embedding_model;
        let model = models.get(id).await.map_err(|error| {
            let unknown = error.kind == ErrorKind::NotFound;
            let message = unknown.then(|| format!("Model {id} not found"));
            Error { message: message.unwrap_or_else(|| error.message.clone()), ..error }
        })?;
        if model.model_type != ModelType::Embedding {
            return Err(Error::invalid(format!("Model {id} is not an embedding model")));
        }
        let dimension = model.embedding_dimension().filter(|length| *length > 0);
        let Some(embedding_dimension) = dimension else {
            return Err(Error::invalid(format!("Model {id} does not have an embedding dimension")));
        };
        let given = request.provider_id.as_deref().filter(|id| !id.is_empty());
        let first = self.provider_ids().first().copied();
        let provider_id = self.choose_provider(given.or(first))?;
        self.register(VectorDb {
            provider_resource_id: resource_id(request.provider_vector_db_id, &request.vector_db_id),
            identifier: request.vector_db_id,
            provider_id,
            tag: VectorDbTag::VectorDb,
            embedding_model: request.embedding_model,
            embedding_dimension,
        })
        .await
    }
}

fn resource_id(given: Option<String>, id: &str) -> String {
    given.filter(|given| !given.is_empty()).unwrap_or_else(|| id.to_owned())
}

impl Declared for VectorDb {
    /// A vector database that names no provider is that of the first one.
    fn declared(config: &RunConfig, hosts: &[&str]) -> Vec<Self> {
        let first = hosts.first().copied();
        let wanted = config.vector_dbs.iter().filter(|entry| is_wanted_vector_db(entry));
        wanted
            .filter_map(|entry| {
                let model =
                    config.models.iter().find(|model| model.model_id == entry.embedding_model);
                let of_model = model
                    .and_then(|model| model.metadata.get("embedding_dimension"))
                    .and_then(Value::as_i64);
                Some(Self {
                    identifier: entry.vector_db_id.clone(),
                    provider_resource_id: resource_id(
                        entry.provider_vector_db_id.clone(),
                        &entry.vector_db_id,
                    ),
                    provider_id: entry.provider_id.as_deref().or(first)?.to_owned(),
                    tag: VectorDbTag::VectorDb,
                    embedding_model: entry.embedding_model.clone(),
                    embedding_dimension: of_model.unwrap_or(entry.embedding_dimension),
                })
            })
            .collect()
    }
}
