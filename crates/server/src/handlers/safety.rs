//! The registered shields, and running them.

use crate::routes::Routes;
use chaski_api::{
    endpoints::shields::{GetShield, ListShields, RegisterShield, RunShield},
    safety::ShieldList,
};

pub(super) fn register(routes: &mut Routes) {
    routes.on::<ListShields, _, _>(|app, _cx, _request| async move {
        Ok(ShieldList { data: app.stack.shields.list() })
    });
    routes.on::<GetShield, _, _>(|app, _cx, request| async move {
        app.stack.shields.get(&request.identifier).await
    });
    routes.on::<RegisterShield, _, _>(|app, _cx, request| async move {
        app.stack.shields.register_shield(request).await
    });
    routes.on::<RunShield, _, _>(|app, cx, request| async move {
        let (id, params) = (&request.shield_id, request.params.as_ref());
        app.stack.safety.run_shield(&cx, id, &request.messages, params).await
    });
}
