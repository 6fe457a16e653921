//! One route of the HTTP face, as the tables of routes name it.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::{HeaderName, header};
use axum::routing::{self, MethodRouter};

use crate::gateway::face::Face;
#[cfg(test)]
use crate::gateway::openapi::call::Call;

/// One method of one path.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) handler: MethodRouter<Arc<Face>>,
    /// Whether it is handled beside the threads that carry pushes.
    pub(super) aside: bool,
    /// What `openapi.json` says of it.
    #[cfg(test)]
    pub(super) call: Call,
}

/// A table of routes: `kind "path" => module::handler`, where the kind is a function of this module. The module has the call
/// that describes a handler under the handler's name, in `described`.
macro_rules! routes {
    ($($kind:ident $path:literal => $module:ident::$handler:ident,)*) => {
        vec![$({
            let handled = $crate::gateway::route::$kind($module::$handler);
            $crate::gateway::route::Route {
                method: handled.method,
                path: $path,
                handler: handled.handler,
                aside: handled.aside,
                #[cfg(test)]
                call: $module::described::$handler(),
            }
        },)*]
    };
}

pub(super) use routes;

/// A method, and who handles it.
pub(super) struct Handled {
    pub(super) method: &'static str,
    pub(super) handler: MethodRouter<Arc<Face>>,
    pub(super) aside: bool,
}

impl Handled {
    fn new(method: &'static str, handler: MethodRouter<Arc<Face>>) -> Self {
        Self { method, handler, aside: false }
    }
}

/// A call that reads.
pub(super) fn get<T: 'static>(handler: impl Handler<T, Arc<Face>>) -> Handled {
    Handled::new("get", routing::get(handler))
}

/// A call that reads much: no push waits for it.
pub(super) fn survey<T: 'static>(handler: impl Handler<T, Arc<Face>>) -> Handled {
    Handled { aside: true, ..get(handler) }
}

/// A call that does something.
pub(super) fn post<T: 'static>(handler: impl Handler<T, Arc<Face>>) -> Handled {
    Handled::new("post", routing::post(handler))
}

/// A call that tools look at before they make it.
pub(super) fn probe<T: 'static>(handler: impl Handler<T, Arc<Face>>) -> Handled {
    Handled::new("get", routing::get(handler).options(allow_probe))
}

/// The same of a call that reads much.
pub(super) fn probed_survey<T: 'static>(handler: impl Handler<T, Arc<Face>>) -> Handled {
    Handled { aside: true, ..probe(handler) }
}

/// A call that reads, with a handler that refuses other methods: a HEAD, which a route of GET serves as well, opens no
/// session.
pub(super) fn upgrade<T: 'static>(handler: impl Handler<T, Arc<Face>>) -> Handled {
    Handled::new("get", routing::any(handler))
}

/// A call that puts something in the place of what is there.
pub(super) fn put<T: 'static>(handler: impl Handler<T, Arc<Face>>) -> Handled {
    Handled::new("put", routing::put(handler))
}

/// A call that changes a part of what is there.
pub(super) fn patch<T: 'static>(handler: impl Handler<T, Arc<Face>>) -> Handled {
    Handled::new("patch", routing::patch(handler))
}

/// A call that takes something away.
pub(super) fn delete<T: 'static>(handler: impl Handler<T, Arc<Face>>) -> Handled {
    Handled::new("delete", routing::delete(handler))
}

async fn allow_probe() -> [(HeaderName, &'static str); 1] {
    [(header::ALLOW, "GET,HEAD,OPTIONS")]
}
