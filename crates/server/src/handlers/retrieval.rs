//! The registered vector databases, and the tool that fills and asks them.

use crate::{app::App, routes::Routes};
use chaski_api::{
    endpoints::{
        rag_tool::{InsertDocuments, QueryContext},
        vector_dbs::{GetVectorDb, ListVectorDbs, RegisterVectorDb, UnregisterVectorDb},
    },
    retrieval::{VectorDb, VectorDbList},
};
use chaski_provider::{Context, SESSION_VECTOR_DB};

pub(super) fn register(routes: &mut Routes) {
    routes.on::<ListVectorDbs, _, _>(|app, cx, _request| async move {
        Ok(VectorDbList { data: listed_vector_dbs(&app, &cx) })
    });
    routes.on::<GetVectorDb, _, _>(|app, _cx, request| async move {
        app.stack.vector_dbs.get(&request.vector_db_id).await
    });
    routes.on::<RegisterVectorDb, _, _>(|app, _cx, request| async move {
        app.stack.vector_dbs.register_vector_db(&app.stack.models, request).await
    });
    routes.on::<UnregisterVectorDb, _, _>(|app, _cx, request| async move {
        app.stack.vector_dbs.unregister(&request.vector_db_id).await
    });
    routes.on::<InsertDocuments, _, _>(|app, cx, request| async move {
        app.stack.tools.insert_documents(&cx, request).await
    });
    routes.on::<QueryContext, _, _>(|app, cx, request| async move {
        app.stack.tools.query_context(&cx, request).await
    });
}

/// The vector databases that a caller is told of.
pub(crate) fn listed_vector_dbs(app: &App, cx: &Context) -> Vec<VectorDb> {
    let mut listed = app.stack.vector_dbs.list();
    // Whoever knows the id of a session may search its documents; the list tells no ids of
    // sessions of others.
    if cx.principal.is_some() {
        listed.retain(|db| !db.identifier.starts_with(SESSION_VECTOR_DB));
    }
    listed
}
