//! Vector stores: files of callers, cut into chunks, searched by meaning and by words.

mod backend;
mod batches;
mod chunks;
mod contextual;
mod files;
mod ingest;
#[cfg(test)]
mod lifecycle_tests;
mod records;
mod search;
#[cfg(test)]
mod tests;

pub(crate) use records::TABLES;

use crate::{
    Data, RoutingTable,
    data::{new_id, now, owner},
    files::{Files, Linked, order},
    jobs::{Job, Jobs},
    routers::VectorIoRouter,
};
use backend::Backend;
use chaski_api::{
    Error, ErrorKind, Result,
    models::{Model, ModelType},
    openai::{
        AutoChunking, ChunkingStrategy, CreateVectorStoreRequest, DeletedVectorStore, FileCounts,
        IngestStatus, ListVectorStoresRequest, MOST_FILES, StoreStatus, UpdateVectorStoreRequest,
        VectorStoreList, VectorStoreObject,
    },
    retrieval::{VectorDb, VectorDbTag},
};
use chaski_provider::{Context, Documents, Inference, Principal};
use chaski_store::{Batch, Cell, Condition, Database, Held, Owner, Page, Place, RowError, Scope};
use ingest::{Forget, Forgotten, Ingest};
use records::{StoredBatch, StoredStore, StoredStoreFile, superseded_in};
use serde_json::{Map, Value};
use std::sync::{Arc, Weak};

/// What the ids of vector stores begin with.
pub(crate) const STORE_ID: &str = "vs_";
/// How often the time of the last use is written at most, in seconds.
const TOUCH: i64 = 60;
/// How many records are looked at in one turn.
const TURN: usize = 200;

/// The vector stores of all callers; clones are the same.
#[derive(Clone)]
pub struct VectorStores(Arc<Inner>);

struct Inner {
    database: Database,
    files: Files,
    jobs: Jobs,
    backend: Backend,
    models: Arc<RoutingTable<Model>>,
    inference: Arc<dyn Inference>,
    documents: Documents,
}

/// What vector stores work with.
pub(crate) struct Parts {
    pub(crate) data: Data,
    pub(crate) files: Files,
    pub(crate) jobs: Jobs,
    pub(crate) dbs: Arc<RoutingTable<VectorDb>>,
    pub(crate) router: Arc<VectorIoRouter>,
    pub(crate) models: Arc<RoutingTable<Model>>,
    pub(crate) inference: Arc<dyn Inference>,
    pub(crate) documents: Documents,
}

impl VectorStores {
    /// Starts `workers` workers for what is read.
    pub(crate) fn start(parts: Parts, workers: usize) -> Self {
        let Parts { data, files, jobs, dbs, router, models, inference, documents } = parts;
        let backend = Backend::new(dbs, router);
        let database = data.database;
        let inner = Inner { database, files, jobs, backend, models, inference, documents };
        let stores = Self(Arc::new(inner));
        // The workers must not keep alive what they belong to.
        let weak = Arc::downgrade(&stores.0);
        stores.0.files.link(Arc::new(Attached(weak.clone())));
        stores.0.jobs.start(vec![Arc::new(Ingest(weak.clone())), Arc::new(Forget(weak))], workers);
        stores
    }

    fn database(&self) -> &Database {
        &self.0.database
    }

    /// Makes a vector store, and begins to read files into it.
    ///
    /// # Errors
    /// `InvalidRequest` if there is no embedding model or no provider, or the files cannot be used.
    pub async fn create(
        &self,
        cx: &Context,
        request: CreateVectorStoreRequest,
    ) -> Result<VectorStoreObject> {
        let owner = owner(cx);
        let file_ids = request.file_ids.unwrap_or_default();
        if file_ids.len() > MOST_FILES {
            let message =
                format!("`file_ids` has {} ids; at most {MOST_FILES} fit", file_ids.len());
            return Err(Error::invalid(message).with_param("file_ids"));
        }
        let chunking = request.chunking_strategy.unwrap_or(ChunkingStrategy::Auto(AutoChunking {}));
        chunks::check(&chunking)?;
        // Other servers take the two from the metadata.
        let of_metadata = |key: &str| {
            let metadata = request.metadata.as_ref()?;
            metadata.0.get(key).and_then(Value::as_str).map(str::to_owned)
        };
        let model = request.embedding_model.clone().or_else(|| of_metadata("embedding_model"));
        let provider = request.provider_id.clone().or_else(|| of_metadata("provider_id"));
        let id = new_id(STORE_ID);
        let vector_db = self.vector_db(&id, model, provider.as_deref()).await?;
        let created_at = now();
        let store = StoredStore {
            id,
            created_at,
            name: request.name.unwrap_or_default(),
            description: request.description,
            metadata: request.metadata,
            expires_after: request.expires_after,
            last_active_at: created_at,
            vector_db,
            chunking,
            emptied: false,
        };
        let mut batch = Batch::default().insert(&owner, &store);
        for file in files::distinct(&file_ids) {
            let new = files::NewStoreFile::plain(file);
            let (_, with) = self.attached(&owner, &store, new, "", batch).await?;
            batch = with;
        }
        self.0.backend.make(cx, &store.vector_db).await?;
        self.0.jobs.apply(batch).await?;
        self.object(&owner, store).await
    }

    /// Where the chunks of a new vector store go.
    async fn vector_db(
        &self,
        id: &str,
        model: Option<String>,
        provider: Option<&str>,
    ) -> Result<VectorDb> {
        let models = &self.0.models;
        let of_request = |error| Error { param: Some("embedding_model".to_owned()), ..error };
        let model = if let Some(id) = model {
            models.get(&id).await.map_err(of_request)?
        } else {
            let mut models = models.list().into_iter();
            models.find(|model| model.model_type == ModelType::Embedding).ok_or_else(|| {
                Error::invalid(
                    "there is no embedding model; register one, or name it in `embedding_model`",
                )
                .with_param("embedding_model")
            })?
        };
        let id_of_model = &model.identifier;
        let wrong = |what: &str| {
            Error::invalid(format!("the model `{id_of_model}` {what}"))
                .with_param("embedding_model")
        };
        if model.model_type != ModelType::Embedding {
            return Err(wrong("is not an embedding model"));
        }
        let embedding_dimension = model
            .embedding_dimension()
            .filter(|length| *length > 0)
            .ok_or_else(|| wrong("has no `embedding_dimension` in its metadata"))?;
        let dbs = &self.0.backend.dbs;
        let first = dbs.provider_ids().first().copied();
        let provider_id = dbs
            .choose_provider(provider.or(first))
            .map_err(|error| error.with_param("provider_id"))?;
        Ok(VectorDb {
            identifier: id.to_owned(),
            provider_resource_id: id.to_owned(),
            provider_id,
            tag: VectorDbTag::VectorDb,
            embedding_model: model.identifier,
            embedding_dimension,
        })
    }

    /// A page of the caller's vector stores.
    ///
    /// # Errors
    /// `InvalidRequest` if `after` or `before` is not one of them.
    pub async fn list(
        &self,
        cx: &Context,
        request: ListVectorStoresRequest,
    ) -> Result<VectorStoreList> {
        let owner = owner(cx);
        let query = Database::query::<StoredStore>(&owner)
            .order(order(request.order))
            .place(place(request.after, request.before, str::to_owned)?)
            .limit(usize::try_from(request.limit.0).unwrap_or_default());
        let Page { records, has_more } = self.database().list(query).await?;
        let mut data = Vec::with_capacity(records.len());
        for held in records {
            data.push(self.object(&owner, held.record).await?);
        }
        Ok(VectorStoreList {
            object: "list".to_owned(),
            first_id: data.first().map(|store| store.id.clone()),
            last_id: data.last().map(|store| store.id.clone()),
            data,
            has_more,
        })
    }

    /// The caller's vector store called `id`.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn get(&self, cx: &Context, id: &str) -> Result<VectorStoreObject> {
        let owner = owner(cx);
        let held = self.find(&owner, id).await?;
        self.object(&owner, held.record).await
    }

    async fn find(&self, owner: &Owner, id: &str) -> Result<Held<StoredStore>> {
        self.database().get::<StoredStore>(owner, id).await?.ok_or_else(|| {
            Error::not_found(format!("No such Vector Store object: {id}"))
                .with_param("vector_store_id")
        })
    }

    /// The same, if it has not expired.
    async fn usable(&self, owner: &Owner, id: &str) -> Result<Held<StoredStore>> {
        let held = self.find(owner, id).await?;
        if held.record.expires_at().is_some_and(|at| at <= now()) {
            let message = format!("the vector store `{id}` has expired; make a new one");
            return Err(Error::invalid(message).with_param("vector_store_id"));
        }
        Ok(held)
    }

    /// Changes a vector store.
    ///
    /// # Errors
    /// `NotFound` if the caller has no such vector store, `InvalidRequest` if it has expired.
    pub async fn update(
        &self,
        cx: &Context,
        request: UpdateVectorStoreRequest,
    ) -> Result<VectorStoreObject> {
        let owner = owner(cx);
        loop {
            // Its chunks are gone once it has expired: nothing brings it back.
            let held = self.usable(&owner, &request.vector_store_id).await?;
            let mut store = held.record.clone();
            if let Some(name) = &request.name {
                store.name.clone_from(name);
            }
            if request.expires_after.is_some() {
                store.expires_after.clone_from(&request.expires_after);
            }
            if request.metadata.is_some() {
                store.metadata.clone_from(&request.metadata);
            }
            store.last_active_at = now();
            match self.database().replace(&held, &store).await {
                Ok(()) => return self.object(&owner, store).await,
                // A search has just noted its time.
                Err(RowError::Changed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes a vector store. Its files stay where they are.
    ///
    /// # Errors
    /// `NotFound` if the caller has no such vector store.
    pub async fn delete(&self, cx: &Context, id: &str) -> Result<DeletedVectorStore> {
        let owner = owner(cx);
        loop {
            let held = self.find(&owner, id).await?;
            let forget = forgetting(&held.record.vector_db, None);
            let batch = emptying(Batch::default().remove(&held), &owner, id);
            match self.0.jobs.interrupt(batch.insert(&owner, &forget)).await {
                Ok(()) => break,
                // A search has just noted its time.
                Err(RowError::Changed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.0.jobs.look();
        Ok(DeletedVectorStore {
            id: id.to_owned(),
            object: "vector_store.deleted".to_owned(),
            deleted: true,
        })
    }

    async fn object(&self, owner: &Owner, store: StoredStore) -> Result<VectorStoreObject> {
        let like = vec![Condition::is("store", store.id.as_str())];
        let (file_counts, usage_bytes) = self.counts(owner, like).await?;
        let expires_at = store.expires_at();
        let status = if expires_at.is_some_and(|at| at <= now()) {
            StoreStatus::Expired
        } else if file_counts.in_progress > 0 {
            StoreStatus::InProgress
        } else {
            StoreStatus::Completed
        };
        Ok(VectorStoreObject {
            id: store.id,
            object: "vector_store".to_owned(),
            created_at: store.created_at,
            name: store.name,
            description: store.description,
            usage_bytes,
            file_counts,
            status,
            expires_after: store.expires_after,
            expires_at,
            last_active_at: Some(store.last_active_at),
            metadata: store.metadata.or_else(|| Some(chaski_api::openai::Attributes(Map::new()))),
            embedding_model: Some(store.vector_db.embedding_model),
            provider_id: Some(store.vector_db.provider_id),
        })
    }

    /// The files that are like this, by how far they are, and the bytes that are kept of them.
    async fn counts(&self, owner: &Owner, like: Vec<Condition>) -> Result<(FileCounts, i64)> {
        let tallied =
            self.database().tally::<StoredStoreFile>(owner, like, "status", "usage_bytes").await?;
        let of = |status: IngestStatus| {
            let value = Cell::from(status.as_str());
            tallied.iter().find(|found| found.value == value).map_or(0, |found| found.rows)
        };
        let counts = FileCounts {
            in_progress: of(IngestStatus::InProgress),
            completed: of(IngestStatus::Completed),
            failed: of(IngestStatus::Failed),
            cancelled: of(IngestStatus::Cancelled),
            total: tallied.iter().map(|found| found.rows).sum(),
        };
        Ok((counts, tallied.iter().map(|found| found.sum).sum()))
    }

    /// Notes that a vector store is used.
    async fn touch(&self, held: &Held<StoredStore>) -> Result<()> {
        if held.record.last_active_at + TOUCH > now() {
            return Ok(());
        }
        let mut store = held.record.clone();
        store.last_active_at = now();
        match self.database().replace(held, &store).await {
            // Somebody else has just used it.
            Ok(()) | Err(RowError::Changed { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the chunks of vector stores that have expired at `time`. The vector stores stay, and
    /// say so.
    pub(crate) async fn sweep(&self, time: i64) -> Result<()> {
        loop {
            let expired = Database::query::<StoredStore>(Scope::Upkeep)
                .with(Condition::at_most("expires", time))
                .limit(TURN);
            let Page { records, has_more } = self.database().list(expired).await?;
            for held in records {
                let emptied = StoredStore { emptied: true, ..held.record.clone() };
                let owner = held.owner();
                let forget = forgetting(&emptied.vector_db, None);
                let batch = Batch::default().replace(&held, &emptied);
                let batch = emptying(batch, owner, &emptied.id).insert(owner, &forget);
                match self.0.jobs.interrupt(batch).await {
                    Ok(()) | Err(RowError::Changed { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if !has_more {
                return Ok(());
            }
        }
    }
}

/// The job that removes the chunks of a job, or a database with all of them.
fn forgetting(db: &VectorDb, job: Option<&str>) -> Job {
    let forgotten = Forgotten { vector_db: db.clone(), job: job.map(str::to_owned) };
    Jobs::prepare(ingest::FORGET, "", &forgotten)
}

/// Takes everything away that belongs to a vector store.
fn emptying(batch: Batch, owner: &Owner, id: &str) -> Batch {
    let superseded = superseded_in(id);
    batch
        .clear::<StoredStoreFile>(
            owner,
            vec![Condition::one_of("store", [id, superseded.as_str()])],
        )
        .clear::<StoredBatch>(owner, vec![Condition::is("store", id)])
        .clear::<Job>(owner, vec![Condition::is("belongs_to", id)])
}

/// Where in a list a page lies.
fn place(
    after: Option<String>,
    before: Option<String>,
    row: impl Fn(&str) -> String,
) -> Result<Place> {
    match (after, before) {
        (None, None) => Ok(Place::Start),
        (Some(id), None) => Ok(Place::After(row(&id))),
        (None, Some(id)) => Ok(Place::Before(row(&id))),
        (Some(_), Some(_)) => {
            Err(Error::invalid("give `after` or `before`, not both").with_param("before"))
        }
    }
}

/// The context of work that the server does for an owner. Credentials of a request are not kept.
fn on_behalf_of(owner: &Owner) -> Context {
    let principal = (!owner.principal.is_empty()).then(|| {
        let mut attributes = Map::new();
        if !owner.tenant.is_empty() {
            attributes.insert("tenant".to_owned(), owner.tenant.as_str().into());
        }
        Arc::new(Principal { id: owner.principal.clone(), attributes })
    });
    Context { principal, ..Context::default() }
}

/// The vector stores that a file is in.
struct Attached(Weak<Inner>);

#[async_trait::async_trait]
impl Linked for Attached {
    async fn release(&self, owner: &Owner, file: &str) -> Result<()> {
        let Some(inner) = self.0.upgrade() else { return Ok(()) };
        let stores = VectorStores(inner);
        loop {
            let query = Database::query::<StoredStoreFile>(owner)
                .with(Condition::is("file", file))
                .limit(TURN);
            let Page { records, has_more } = stores.database().list(query).await?;
            for held in records {
                match stores.detach(owner, &held).await {
                    Ok(()) => {}
                    Err(error) if error.kind == ErrorKind::Conflict => {}
                    Err(error) => return Err(error),
                }
            }
            if !has_more {
                return Ok(());
            }
        }
    }
}
