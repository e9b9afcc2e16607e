//! The configured providers.

use crate::routes::Routes;
use chaski_api::{
    Error,
    endpoints::providers::{InspectProvider, ListProviders},
    inspect::ProviderList,
};

pub(super) fn register(routes: &mut Routes) {
    routes.on::<ListProviders, _, _>(|app, _cx, _request| async move {
        Ok(ProviderList { data: app.stack.providers() })
    });
    routes.on::<InspectProvider, _, _>(|app, _cx, request| async move {
        let mut providers = app.stack.providers().into_iter();
        providers
            .find(|provider| provider.provider_id == request.provider_id)
            .ok_or_else(|| Error::not_found(format!("Provider {} not found", request.provider_id)))
    });
}
