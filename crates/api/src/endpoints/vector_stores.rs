//! Vector stores in OpenAI's form. Each path also answers under `/v1/openai`.

use crate::{
    Api, Described, Endpoint, EndpointSpec, Face, Method,
    openai::{
        CreateFileBatchRequest, CreateVectorStoreFileRequest, CreateVectorStoreRequest,
        DeletedVectorStore, DeletedVectorStoreFile, FileBatchObject, FileBatchRequest,
        ListBatchFilesRequest, ListVectorStoreFilesRequest, ListVectorStoresRequest,
        SearchVectorStoreRequest, UpdateVectorStoreFileRequest, UpdateVectorStoreRequest,
        VectorStoreFileContent, VectorStoreFileList, VectorStoreFileObject, VectorStoreFileRequest,
        VectorStoreList, VectorStoreObject, VectorStoreRequest, VectorStoreSearchResults,
    },
};

const fn spec(
    method: Method,
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
) -> EndpointSpec {
    let spec = EndpointSpec::new(Api::VectorIo, method, path, operation, summary);
    EndpointSpec { face: Face::OpenAi, ..spec }
}

pub struct CreateVectorStore;
impl Endpoint for CreateVectorStore {
    type Request = CreateVectorStoreRequest;
    type Response = VectorStoreObject;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Post,
        "/v1/vector_stores",
        "openai_create_vector_store",
        "Makes a vector store, and reads files into it.",
    );
}

pub struct ListVectorStores;
impl Endpoint for ListVectorStores {
    type Request = ListVectorStoresRequest;
    type Response = VectorStoreList;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Get,
        "/v1/vector_stores",
        "openai_list_vector_stores",
        "A page of the caller's vector stores.",
    );
}

pub struct GetVectorStore;
impl Endpoint for GetVectorStore {
    type Request = VectorStoreRequest;
    type Response = VectorStoreObject;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Get,
        "/v1/vector_stores/{vector_store_id}",
        "openai_get_vector_store",
        "One vector store.",
    );
}

pub struct UpdateVectorStore;
impl Endpoint for UpdateVectorStore {
    type Request = UpdateVectorStoreRequest;
    type Response = VectorStoreObject;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Post,
        "/v1/vector_stores/{vector_store_id}",
        "openai_update_vector_store",
        "Changes a vector store.",
    );
}

pub struct DeleteVectorStore;
impl Endpoint for DeleteVectorStore {
    type Request = VectorStoreRequest;
    type Response = DeletedVectorStore;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Delete,
        "/v1/vector_stores/{vector_store_id}",
        "openai_delete_vector_store",
        "Removes a vector store; its files stay.",
    );
}

pub struct SearchVectorStore;
impl Endpoint for SearchVectorStore {
    type Request = SearchVectorStoreRequest;
    type Response = VectorStoreSearchResults;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Post,
        "/v1/vector_stores/{vector_store_id}/search",
        "openai_search_vector_store",
        "The texts that fit a query best.",
    );
}

pub struct CreateVectorStoreFile;
impl Endpoint for CreateVectorStoreFile {
    type Request = CreateVectorStoreFileRequest;
    type Response = VectorStoreFileObject;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Post,
        "/v1/vector_stores/{vector_store_id}/files",
        "openai_create_vector_store_file",
        "Reads a file into a vector store.",
    );
}

pub struct ListVectorStoreFiles;
impl Endpoint for ListVectorStoreFiles {
    type Request = ListVectorStoreFilesRequest;
    type Response = VectorStoreFileList;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Get,
        "/v1/vector_stores/{vector_store_id}/files",
        "openai_list_vector_store_files",
        "A page of the files of a vector store.",
    );
}

pub struct GetVectorStoreFile;
impl Endpoint for GetVectorStoreFile {
    type Request = VectorStoreFileRequest;
    type Response = VectorStoreFileObject;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Get,
        "/v1/vector_stores/{vector_store_id}/files/{file_id}",
        "openai_get_vector_store_file",
        "How far a file of a vector store is.",
    );
}

pub struct UpdateVectorStoreFile;
impl Endpoint for UpdateVectorStoreFile {
    type Request = UpdateVectorStoreFileRequest;
    type Response = VectorStoreFileObject;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Post,
        "/v1/vector_stores/{vector_store_id}/files/{file_id}",
        "openai_update_vector_store_file",
        "Changes the attributes of a file of a vector store.",
    );
}

pub struct DeleteVectorStoreFile;
impl Endpoint for DeleteVectorStoreFile {
    type Request = VectorStoreFileRequest;
    type Response = DeletedVectorStoreFile;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Delete,
        "/v1/vector_stores/{vector_store_id}/files/{file_id}",
        "openai_delete_vector_store_file",
        "Takes a file out of a vector store; the file itself stays.",
    );
}

pub struct GetVectorStoreFileContent;
impl Endpoint for GetVectorStoreFileContent {
    type Request = VectorStoreFileRequest;
    type Response = VectorStoreFileContent;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Get,
        "/v1/vector_stores/{vector_store_id}/files/{file_id}/content",
        "openai_get_vector_store_file_content",
        "The text of a file of a vector store.",
    );
}

pub struct CreateFileBatch;
impl Endpoint for CreateFileBatch {
    type Request = CreateFileBatchRequest;
    type Response = FileBatchObject;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Post,
        "/v1/vector_stores/{vector_store_id}/file_batches",
        "openai_create_file_batch",
        "Reads files into a vector store together.",
    );
}

pub struct GetFileBatch;
impl Endpoint for GetFileBatch {
    type Request = FileBatchRequest;
    type Response = FileBatchObject;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Get,
        "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}",
        "openai_get_file_batch",
        "How far a batch of files is.",
    );
}

pub struct CancelFileBatch;
impl Endpoint for CancelFileBatch {
    type Request = FileBatchRequest;
    type Response = FileBatchObject;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Post,
        "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel",
        "openai_cancel_file_batch",
        "Gives up the files of a batch that are not read yet.",
    );
}

pub struct ListBatchFiles;
impl Endpoint for ListBatchFiles {
    type Request = ListBatchFilesRequest;
    type Response = VectorStoreFileList;
    type Event = ();
    const SPEC: EndpointSpec = spec(
        Method::Get,
        "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/files",
        "openai_list_batch_files",
        "A page of the files of a batch.",
    );
}

pub const ALL: &[Described] = &[
    Described::of::<CreateVectorStore>(),
    Described::of::<ListVectorStores>(),
    Described::of::<GetVectorStore>(),
    Described::of::<UpdateVectorStore>(),
    Described::of::<DeleteVectorStore>(),
    Described::of::<SearchVectorStore>(),
    Described::of::<CreateVectorStoreFile>(),
    Described::of::<ListVectorStoreFiles>(),
    Described::of::<GetVectorStoreFile>(),
    Described::of::<UpdateVectorStoreFile>(),
    Described::of::<DeleteVectorStoreFile>(),
    Described::of::<GetVectorStoreFileContent>(),
    Described::of::<CreateFileBatch>(),
    Described::of::<GetFileBatch>(),
    Described::of::<CancelFileBatch>(),
    Described::of::<ListBatchFiles>(),
];
