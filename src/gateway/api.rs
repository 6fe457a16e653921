//! The calls of backends and operators, one file a subject.

use crate::gateway::route::Route;

mod contact;
mod explain;
mod nodes;
mod operations;
mod push;
mod sessions;
mod stats;
mod stream;
mod users;

pub(super) use sessions::ListParams;
pub(super) use stream::fuzz::ndjson;

/// The routes that need an API key.
pub(super) fn guarded() -> Vec<Route> {
    vec![
        Route::post("/v1/users/{user}/push", push::user),
        Route::post("/v1/users/{user}/devices/{device}/push", push::session),
        Route::post("/v1/broadcast", push::broadcast),
        Route::post("/v1/push", stream::push),
        Route::get("/v1/users/{user}", users::show),
        Route::delete("/v1/users/{user}", users::disconnect),
        Route::delete("/v1/users/{user}/devices/{device}", users::disconnect_session),
        Route::get("/v1/explain/users/{user}", explain::user),
        Route::get("/v1/sessions", sessions::list),
        Route::get("/v1/stats", stats::show),
        Route::get("/v1/nodes", nodes::list),
        Route::delete("/v1/nodes/{node}", nodes::forget),
    ]
}

/// The routes that need none: probes and metrics, for those who operate the node.
pub(super) fn open() -> Vec<Route> {
    vec![
        Route::probe("/metrics", operations::metrics),
        Route::probe("/livez", operations::live),
        Route::probe("/readyz", operations::ready),
    ]
}
