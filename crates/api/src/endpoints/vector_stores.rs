//! Vector stores in OpenAI's form. Each path also answers under `/v1/openai`.

use crate::{
    Api, EndpointSpec, Face,
    openai::{
        CreateFileBatchRequest, CreateVectorStoreFileRequest, CreateVectorStoreRequest,
        DeletedVectorStore, DeletedVectorStoreFile, FileBatchObject, FileBatchRequest,
        ListBatchFilesRequest, ListVectorStoreFilesRequest, ListVectorStoresRequest,
        SearchVectorStoreRequest, UpdateVectorStoreFileRequest, UpdateVectorStoreRequest,
        VectorStoreFileContent, VectorStoreFileList, VectorStoreFileObject, VectorStoreFileRequest,
        VectorStoreList, VectorStoreObject, VectorStoreRequest, VectorStoreSearchResults,
    },
};

endpoints! {
    like EndpointSpec { face: Face::OpenAi, ..EndpointSpec::of(Api::VectorIo) };

    CreateVectorStore(CreateVectorStoreRequest) -> VectorStoreObject =
        Post "/v1/vector_stores", "openai_create_vector_store",
        "Makes a vector store, and reads files into it.";

    ListVectorStores(ListVectorStoresRequest) -> VectorStoreList =
        Get "/v1/vector_stores", "openai_list_vector_stores",
        "A page of the caller's vector stores.";

    GetVectorStore(VectorStoreRequest) -> VectorStoreObject =
        Get "/v1/vector_stores/{vector_store_id}", "openai_get_vector_store", "One vector store.";

    UpdateVectorStore(UpdateVectorStoreRequest) -> VectorStoreObject =
        Post "/v1/vector_stores/{vector_store_id}", "openai_update_vector_store",
        "Changes a vector store.";

    DeleteVectorStore(VectorStoreRequest) -> DeletedVectorStore =
        Delete "/v1/vector_stores/{vector_store_id}", "openai_delete_vector_store",
        "Removes a vector store; its files stay.";

    SearchVectorStore(SearchVectorStoreRequest) -> VectorStoreSearchResults =
        Post "/v1/vector_stores/{vector_store_id}/search", "openai_search_vector_store",
        "The texts that fit a query best.";

    CreateVectorStoreFile(CreateVectorStoreFileRequest) -> VectorStoreFileObject =
        Post "/v1/vector_stores/{vector_store_id}/files", "openai_create_vector_store_file",
        "Reads a file into a vector store.";

    ListVectorStoreFiles(ListVectorStoreFilesRequest) -> VectorStoreFileList =
        Get "/v1/vector_stores/{vector_store_id}/files", "openai_list_vector_store_files",
        "A page of the files of a vector store.";

    GetVectorStoreFile(VectorStoreFileRequest) -> VectorStoreFileObject =
        Get "/v1/vector_stores/{vector_store_id}/files/{file_id}", "openai_get_vector_store_file",
        "How far a file of a vector store is.";

    UpdateVectorStoreFile(UpdateVectorStoreFileRequest) -> VectorStoreFileObject =
        Post "/v1/vector_stores/{vector_store_id}/files/{file_id}", "openai_update_vector_store_file",
        "Changes the attributes of a file of a vector store.";

    DeleteVectorStoreFile(VectorStoreFileRequest) -> DeletedVectorStoreFile =
        Delete "/v1/vector_stores/{vector_store_id}/files/{file_id}", "openai_delete_vector_store_file",
        "Takes a file out of a vector store; the file itself stays.";

    GetVectorStoreFileContent(VectorStoreFileRequest) -> VectorStoreFileContent =
        Get "/v1/vector_stores/{vector_store_id}/files/{file_id}/content", "openai_get_vector_store_file_content",
        "The text of a file of a vector store.";

    CreateFileBatch(CreateFileBatchRequest) -> FileBatchObject =
        Post "/v1/vector_stores/{vector_store_id}/file_batches", "openai_create_file_batch",
        "Reads files into a vector store together.";

    GetFileBatch(FileBatchRequest) -> FileBatchObject =
        Get "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}", "openai_get_file_batch",
        "How far a batch of files is.";

    CancelFileBatch(FileBatchRequest) -> FileBatchObject =
        Post "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel", "openai_cancel_file_batch",
        "Gives up the files of a batch that are not read yet.";

    ListBatchFiles(ListBatchFilesRequest) -> VectorStoreFileList =
        Get "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/files", "openai_list_batch_files",
        "A page of the files of a batch.";
}
