//! Vector stores, their files and batches.

use crate::routes::Routes;
use chaski_api::endpoints::vector_stores::{
    CancelFileBatch, CreateFileBatch, CreateVectorStore, CreateVectorStoreFile, DeleteVectorStore,
    DeleteVectorStoreFile, GetFileBatch, GetVectorStore, GetVectorStoreFile,
    GetVectorStoreFileContent, ListBatchFiles, ListVectorStoreFiles, ListVectorStores,
    SearchVectorStore, UpdateVectorStore, UpdateVectorStoreFile,
};

pub(super) fn register(routes: &mut Routes) {
    routes.on::<CreateVectorStore, _, _>(|app, cx, request| async move {
        app.stack.vector_stores.create(&cx, request).await
    });
    routes.on::<ListVectorStores, _, _>(|app, cx, request| async move {
        app.stack.vector_stores.list(&cx, request).await
    });
    routes.on::<GetVectorStore, _, _>(|app, cx, request| async move {
        app.stack.vector_stores.get(&cx, &request.vector_store_id).await
    });
    routes.on::<UpdateVectorStore, _, _>(|app, cx, request| async move {
        app.stack.vector_stores.update(&cx, request).await
    });
    routes.on::<DeleteVectorStore, _, _>(|app, cx, request| async move {
        app.stack.vector_stores.delete(&cx, &request.vector_store_id).await
    });
    routes.on::<SearchVectorStore, _, _>(|app, cx, request| async move {
        app.stack.vector_stores.search(&cx, request).await
    });
    register_files(routes);
    register_batches(routes);
}

fn register_files(routes: &mut Routes) {
    routes.on::<CreateVectorStoreFile, _, _>(|app, cx, request| async move {
        app.stack.vector_stores.add_file(&cx, request).await
    });
    routes.on::<ListVectorStoreFiles, _, _>(|app, cx, request| async move {
        app.stack.vector_stores.list_files(&cx, request).await
    });
    routes.on::<GetVectorStoreFile, _, _>(|app, cx, request| async move {
        let stores = &app.stack.vector_stores;
        stores.get_file(&cx, &request.vector_store_id, &request.file_id).await
    });
    routes.on::<UpdateVectorStoreFile, _, _>(|app, cx, request| async move {
        app.stack.vector_stores.update_file(&cx, request).await
    });
    routes.on::<DeleteVectorStoreFile, _, _>(|app, cx, request| async move {
        let stores = &app.stack.vector_stores;
        stores.remove_file(&cx, &request.vector_store_id, &request.file_id).await
    });
    routes.on::<GetVectorStoreFileContent, _, _>(|app, cx, request| async move {
        let stores = &app.stack.vector_stores;
        stores.file_content(&cx, &request.vector_store_id, &request.file_id).await
    });
}

fn register_batches(routes: &mut Routes) {
    routes.on::<CreateFileBatch, _, _>(|app, cx, request| async move {
        app.stack.vector_stores.create_batch(&cx, request).await
    });
    routes.on::<GetFileBatch, _, _>(|app, cx, request| async move {
        let stores = &app.stack.vector_stores;
        stores.get_batch(&cx, &request.vector_store_id, &request.batch_id).await
    });
    routes.on::<CancelFileBatch, _, _>(|app, cx, request| async move {
        let stores = &app.stack.vector_stores;
        stores.cancel_batch(&cx, &request.vector_store_id, &request.batch_id).await
    });
    routes.on::<ListBatchFiles, _, _>(|app, cx, request| async move {
        app.stack.vector_stores.list_batch_files(&cx, request).await
    });
}
