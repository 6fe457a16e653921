//! One route of the HTTP face, as the tables of routes name it.

use std::sync::Arc;

use axum::http::{HeaderName, header};

use crate::gateway::face::Face;
#[cfg(test)]
use crate::gateway::openapi::call::Call;

/// One method of one path.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) handler: axum::routing::MethodRouter<Arc<Face>>,
    /// What `openapi.json` says of it.
    #[cfg(test)]
    pub(super) call: Call,
}

/// A table of routes: `method "path" => module::handler`. The module has the call that describes a handler under the
/// handler's name, in `described`.
macro_rules! routes {
    ($($kind:ident $path:literal => $module:ident::$handler:ident,)*) => {
        vec![$($crate::gateway::route::Route::$kind(
            $path,
            $module::$handler,
            #[cfg(test)]
            $module::described::$handler(),
        ),)*]
    };
}

pub(super) use routes;

impl Route {
    /// A call that reads.
    pub(super) fn get<T: 'static>(
        path: &'static str,
        handler: impl axum::handler::Handler<T, Arc<Face>>,
        #[cfg(test)] call: Call,
    ) -> Self {
        Self {
            method: "get",
            path,
            handler: axum::routing::get(handler),
            #[cfg(test)]
            call,
        }
    }

    /// A call that does something.
    pub(super) fn post<T: 'static>(
        path: &'static str,
        handler: impl axum::handler::Handler<T, Arc<Face>>,
        #[cfg(test)] call: Call,
    ) -> Self {
        Self {
            method: "post",
            path,
            handler: axum::routing::post(handler),
            #[cfg(test)]
            call,
        }
    }

    /// A call that tools look at before they make it.
    pub(super) fn probe<T: 'static>(
        path: &'static str,
        handler: impl axum::handler::Handler<T, Arc<Face>>,
        #[cfg(test)] call: Call,
    ) -> Self {
        Self {
            method: "get",
            path,
            handler: axum::routing::get(handler).options(allow_probe),
            #[cfg(test)]
            call,
        }
    }

    /// A call that reads, with a handler that refuses other methods: a HEAD, which a route of GET serves as well, opens no
    /// session.
    pub(super) fn upgrade<T: 'static>(
        path: &'static str,
        handler: impl axum::handler::Handler<T, Arc<Face>>,
        #[cfg(test)] call: Call,
    ) -> Self {
        Self {
            method: "get",
            path,
            handler: axum::routing::any(handler),
            #[cfg(test)]
            call,
        }
    }

    /// A call that takes something away.
    pub(super) fn delete<T: 'static>(
        path: &'static str,
        handler: impl axum::handler::Handler<T, Arc<Face>>,
        #[cfg(test)] call: Call,
    ) -> Self {
        Self {
            method: "delete",
            path,
            handler: axum::routing::delete(handler),
            #[cfg(test)]
            call,
        }
    }
}

async fn allow_probe() -> [(HeaderName, &'static str); 1] {
    [(header::ALLOW, "GET,HEAD,OPTIONS")]
}
