//! The rules of the table of vector databases beyond those of every table.

use super::declared::Declared;
use crate::{
    RoutingTable, config::RunConfig, resolver::is_wanted_vector_db, vector_stores::STORE_ID,
};
use chaski_api::{
    Error, ErrorKind, Result,
    endpoints::vector_dbs::RegisterVectorDbRequest,
    models::{Model, ModelType},
    retrieval::{VectorDb, VectorDbTag},
};
use chaski_provider::SESSION_VECTOR_DB;
use serde_json::Value;

impl RoutingTable<VectorDb> {
    /// Registers the vector database that a request describes, or updates it; answers what is
    /// stored. The length of the vectors is that of the embedding model, one of `models`.
    ///
    /// # Errors
    /// The model or one of the ids cannot be used, the provider is not there or has a database of
    /// the same name with other vectors, or for another vector database.
    pub async fn register_vector_db(
        &self,
        models: &RoutingTable<Model>,
        request: RegisterVectorDbRequest,
    ) -> Result<VectorDb> {
        if request.vector_db_id.is_empty() {
            return Err(Error::invalid("`vector_db_id` is empty; give the database a name"));
        }
        check_ids(&request)?;
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

/// Keeps what vector stores and sessions have to themselves: vector databases do not ask whose they
/// are, and providers find chunks by the id alone.
///
/// # Errors
/// `InvalidRequest` if an id is one that a vector store may have, or that of the database of a
/// session is to be reached by another name.
fn check_ids(request: &RegisterVectorDbRequest) -> Result<()> {
    let (own, of_provider) = (&request.vector_db_id, &request.provider_vector_db_id);
    let given = [("vector_db_id", Some(own)), ("provider_vector_db_id", of_provider.as_ref())];
    for (field, id) in given.into_iter().filter_map(|(field, id)| Some((field, id?))) {
        let (start, whose) = if begins_with(id, STORE_ID) {
            (STORE_ID, "vector stores, which `/v1/vector_stores` reaches")
        } else if id != own && begins_with(id, SESSION_VECTOR_DB) {
            (SESSION_VECTOR_DB, "sessions of agents")
        } else {
            continue;
        };
        return Err(Error::invalid(format!(
            "`{field}` is `{id}`, and ids that begin with `{start}` belong to {whose}; give another id"
        ))
        .with_param(field));
    }
    Ok(())
}

/// Small and capital letters are the same: they may be for a provider.
fn begins_with(id: &str, start: &str) -> bool {
    id.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
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
