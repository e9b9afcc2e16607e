//! Health, version and routes.

use crate::routes::Routes;
use chaski_api::{
    Error,
    endpoints::{
        self,
        inspect::{Health, ListProviderSummaries, ListRoutes, ListUsage, Live, Ready, Version},
    },
    inspect::{
        HealthInfo, ProviderSummary, ProviderSummaryList, RouteInfo, RouteList, UsageList,
        VersionInfo,
    },
};

pub(super) fn register(routes: &mut Routes) {
    routes.on::<Health, _, _>(|_app, _cx, _request| async { Ok(healthy()) });
    routes.on::<Live, _, _>(|_app, _cx, _request| async { Ok(healthy()) });
    routes.on::<Ready, _, _>(|app, _cx, _request| async move {
        if app.is_draining() {
            return Err(Error::unavailable("the server is shutting down"));
        }
        Ok(healthy())
    });
    routes.on::<Version, _, _>(|app, _cx, _request| async move {
        Ok(VersionInfo { version: app.options.version.clone() })
    });
    routes.on::<ListRoutes, _, _>(|app, _cx, _request| async move {
        let rows = endpoints::all().map(|endpoint| RouteInfo {
            route: endpoint.spec.path.to_owned(),
            method: endpoint.spec.method.as_str().to_ascii_lowercase(),
            provider_types: app.stack.provider_types(endpoint.spec.api),
        });
        Ok(RouteList { data: rows.collect() })
    });
    routes.on::<ListProviderSummaries, _, _>(|app, _cx, _request| async move {
        let rows = app.stack.providers().into_iter().map(|provider| ProviderSummary {
            api: provider.api,
            provider_id: provider.provider_id,
            provider_type: provider.provider_type,
        });
        Ok(ProviderSummaryList { data: rows.collect() })
    });
    routes.on::<ListUsage, _, _>(|app, _cx, _request| async move {
        Ok(UsageList { data: app.stack.usage() })
    });
}

fn healthy() -> HealthInfo {
    HealthInfo { status: "OK".to_owned() }
}
