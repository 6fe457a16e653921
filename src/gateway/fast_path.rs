//! Pushes go past the table of routes.
//!
//! The table finds a route among all, takes its path apart into a map and boxes its handler; a layer of axum more or less is
//! seen in what a push costs. So the two calls that count are recognised here, and answered by the functions that the
//! table's handlers call. What is not plainly one of them takes the table, which knows all other answers.

use axum::extract::Request;
use axum::http::Method;

use crate::gateway::url::decode;
use crate::id::{DeviceId, SessionKey, UserId};
use crate::push::Target;

/// Whom a request pushes to, if it plainly is a push.
pub(super) fn target(request: &Request) -> Option<Target> {
    if request.method() != Method::POST {
        return None;
    }
    let path = request.uri().path().strip_prefix("/v1/users/")?.strip_suffix("/push")?;
    match path.split_once('/') {
        None => Some(Target::User(user(path)?)),
        Some((name, path)) => {
            let device = path.strip_prefix("devices/").filter(|device| !device.contains('/'))?;
            Some(Target::Session(SessionKey::new(user(name)?, DeviceId::new(decode(device)?).ok()?)))
        }
    }
}

fn user(segment: &str) -> Option<UserId> {
    UserId::new(decode(segment)?).ok()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::extract::Extension;
    use axum::http::StatusCode;
    use axum::routing::post;
    use proptest::prelude::*;
    use tower::ServiceExt;

    use super::*;
    use crate::gateway::url::{SessionPath, UserPath};

    /// What the table reads, in the answer's extensions.
    #[derive(Clone)]
    struct Read(Target);

    /// The same two routes, as the table has them.
    fn table() -> Router {
        let user = |UserPath(user): UserPath| async { Extension(Read(Target::User(user))) };
        let session = |SessionPath(key): SessionPath| async { Extension(Read(Target::Session(key))) };
        Router::new()
            .route("/v1/users/{user}/push", post(user))
            .route("/v1/users/{user}/devices/{device}/push", post(session))
    }

    fn request(method: &str, path: &str) -> Option<Request> {
        Request::builder().method(method).uri(path).body(Body::empty()).ok()
    }

    /// What this reads, and what the table does.
    async fn both(method: &str, path: &str) -> Option<(Option<Target>, Option<Target>)> {
        let here = target(&request(method, path)?);
        let response = table().oneshot(request(method, path)?).await.unwrap();
        let read = response.extensions().get::<Read>().map(|Read(target)| target.clone());
        assert_eq!(read.is_some(), response.status() == StatusCode::OK);
        Some((here, read))
    }

    #[tokio::test]
    async fn pushes_are_recognised_and_everything_else_is_left_to_the_table() {
        let user = |name: &str| UserId::new(name).unwrap();
        let session = |name: &str, device: &str| SessionKey::new(user(name), DeviceId::new(device).unwrap());
        let cases = [
            ("POST", "/v1/users/42/push", Some(Target::User(user("42")))),
            ("POST", "/v1/users/a%20b%2Fc/push?wait=none", Some(Target::User(user("a b/c")))),
            ("POST", "/v1/users/push/push", Some(Target::User(user("push")))),
            ("POST", "/v1/users/u/devices/d%3A1/push", Some(Target::Session(session("u", "d:1")))),
            ("GET", "/v1/users/42/push", None),
            ("POST", "/v1/users/42", None),
            ("POST", "/v1/users/42/push/", None),
            ("POST", "/v1/users//push", None),
            ("POST", "/v1/users/push", None),
            ("POST", "/v1/users/u/devices/push", None),
            ("POST", "/v1/users/u/devices//push", None),
            ("POST", "/v1/users/u/devices/d/e/push", None),
            ("POST", "/v1/users/%FF/push", None),
            ("POST", "/v1/users/a%00b/push", None),
            ("POST", "/v1/broadcast", None),
        ];
        for (method, path, expected) in cases {
            let (here, table) = both(method, path).await.unwrap();
            assert_eq!((&here, &table), (&expected, &expected), "{method} {path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_recognised_is_what_the_table_reads(
            path in "/v1/users/([a-z%/0-9:]|%[0-9A-F]{2}|devices|push){0,6}(/devices/([a-z/]|%[0-9A-F]{2}){0,4})?/push"
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let Some((Some(here), table)) = runtime.block_on(both("POST", &path)) {
                prop_assert_eq!(Some(here), table);
            }
        }
    }
}
