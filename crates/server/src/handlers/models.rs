//! The registered models.

use crate::routes::Routes;
use chaski_api::{
    endpoints::models::{GetModel, ListModels, RegisterModel, UnregisterModel},
    models::{ListObject, ModelInfo, ModelList},
};

pub(super) fn register(routes: &mut Routes) {
    routes.on::<ListModels, _, _>(|app, _cx, _request| async move {
        let data = app.stack.models.list().into_iter().map(ModelInfo::from).collect();
        Ok(ModelList { object: ListObject::List, data })
    });
    routes.on::<GetModel, _, _>(|app, _cx, request| async move {
        app.stack.models.get(&request.model_id).await.map(ModelInfo::from)
    });
    routes.on::<RegisterModel, _, _>(|app, _cx, request| async move {
        app.stack.models.register_model(request).await
    });
    routes.on::<UnregisterModel, _, _>(|app, _cx, request| async move {
        app.stack.models.unregister(&request.model_id).await
    });
}
