//! The calls of backends and operators, one file a subject.

use crate::gateway::route::{Route, routes};

mod attributes;
mod contact;
mod explain;
mod nodes;
mod operations;
mod push;
mod sessions;
mod stats;
mod stream;
mod users;

pub(super) use push::fast as push;
pub(super) use sessions::ListParams;
pub(super) use stream::fuzz::ndjson;

/// The routes that need an API key.
pub(super) fn guarded() -> Vec<Route> {
    routes![
        post "/v1/users/{user}/push" => push::user,
        post "/v1/users/{user}/devices/{device}/push" => push::session,
        post "/v1/broadcast" => push::broadcast,
        post "/v1/push" => stream::push,
        get "/v1/users/{user}" => users::show,
        delete "/v1/users/{user}" => users::disconnect,
        delete "/v1/users/{user}/devices/{device}" => users::disconnect_session,
        get "/v1/users/{user}/devices/{device}/attributes" => attributes::show,
        put "/v1/users/{user}/devices/{device}/attributes" => attributes::replace,
        patch "/v1/users/{user}/devices/{device}/attributes" => attributes::merge,
        survey "/v1/explain/users/{user}" => explain::user,
        survey "/v1/sessions" => sessions::list,
        survey "/v1/stats" => stats::show,
        survey "/v1/nodes" => nodes::list,
        delete "/v1/nodes/{node}" => nodes::forget,
    ]
}

/// The routes that need none: probes and metrics, for those who operate the node.
pub(super) fn open() -> Vec<Route> {
    routes![
        probed_survey "/metrics" => operations::metrics,
        probe "/livez" => operations::live,
        probe "/readyz" => operations::ready,
    ]
}
