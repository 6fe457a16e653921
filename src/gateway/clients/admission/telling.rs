//! How a client learns that it is not let in.
//!
//! A browser hides the status of a refused handshake from its page. So the handshake can be completed, and the connection
//! closed at once with a code that says the same. Clients of a subprotocol are told so unless they ask for the status; others
//! are told the status unless they ask for a close code with `?errors=close`. That a node takes no clients now is for balancers
//! as well, which read a status.

use std::time::Duration;

use axum::http::Uri;

use crate::gateway::clients::admission::refusal::Refusal;
use crate::gateway::clients::dialect::{Close, Dialect};
use crate::gateway::error::{ApiError, BadRequest};
use crate::session::CloseReason;

/// How a client learns that it is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway::clients) enum Telling {
    /// By the status of the answer to its handshake.
    Status,
    /// By a close code, after the handshake.
    Close,
}

impl Telling {
    /// Reads `?errors=`.
    pub(super) fn parse(text: &str) -> Result<Self, BadRequest> {
        match text {
            "status" => Ok(Telling::Status),
            "close" => Ok(Telling::Close),
            _ => Err(BadRequest::new(
                "errors is `close` or `status`: how this client is told that it may not connect, by a close code or by the \
                 status of the answer",
            )),
        }
    }

    /// How a client with that URL and dialect learns of that refusal.
    pub(in crate::gateway::clients) fn of(uri: &Uri, dialect: &dyn Dialect, refusal: &Refusal) -> Self {
        // Also where the rest of the query is not understood, which is a refusal of its own.
        let mut pairs = uri.query().unwrap_or_default().split('&');
        let wish = pairs.find_map(|pair| Telling::parse(pair.strip_prefix("errors=")?).ok());
        let usual = || {
            match refusal {
                // A full node has always said so by closing.
                Refusal::Full => Telling::Close,
                // A balancer that reads it takes the client to another node.
                Refusal::NotReady(_) => Telling::Status,
                _ if dialect.subprotocol().is_some() => Telling::Close,
                _ => Telling::Status,
            }
        };
        wish.unwrap_or_else(usual)
    }
}

impl Refusal {
    /// What the connection of a client is closed with that is not let in. Whoever may come back to this node, or to another
    /// one, is told to wait for `retry_ms`; one that connects too often also until it may.
    pub(in crate::gateway::clients) fn close(self, dialect: &dyn Dialect, retry_ms: u64) -> Close {
        let wait = match self {
            Refusal::Full | Refusal::NotReady(_) => Some(Duration::ZERO),
            Refusal::TooManyRequests { wait } | Refusal::Contended { wait } => Some(wait),
            _ => None,
        };
        if let Some(wait) = wait {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            return dialect.close(&CloseReason::TryLater { retry_ms: wait_ms.saturating_add(retry_ms) });
        }
        let error = ApiError::from(self);
        let body = error.body();
        Close { code: REFUSED + error.status().as_u16(), text: format!("{}: {}", error.code(), body.message) }
    }
}

/// What is added to the status that says the same. Source: RFC 6455 section 7.4.2 leaves the codes from 4000 on to
/// applications.
const REFUSED: u16 = 4_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::clients::dialect;
    use crate::gateway::phase::Phase;

    fn told(query: &str, subprotocol: Option<&str>, refusal: &Refusal) -> Telling {
        let uri: Uri = format!("/v1/ws?{query}").parse().unwrap();
        Telling::of(&uri, dialect::named(subprotocol), refusal)
    }

    #[test]
    fn a_client_is_told_as_it_asks_or_else_as_its_dialect_has_it() {
        let v1 = Some("pushmesh.v1");
        let refusal = Refusal::SessionExists;
        for (query, subprotocol, telling) in [
            ("user=u", None, Telling::Status),
            ("user=u&errors=close", None, Telling::Close),
            ("user=u", v1, Telling::Close),
            ("user=u&errors=status", v1, Telling::Status),
            ("errors=other", v1, Telling::Close),
            ("errors=other", None, Telling::Status),
            ("user=%ff", v1, Telling::Close),
            ("user=%ff&errors=close", None, Telling::Close),
        ] {
            assert_eq!(told(query, subprotocol, &refusal), telling, "{query} {subprotocol:?}");
        }
        assert_eq!(told("", None, &Refusal::Full), Telling::Close);
        assert_eq!(told("errors=status", None, &Refusal::Full), Telling::Status);
        let drains = Refusal::NotReady(Phase::Draining);
        assert_eq!(told("", v1, &drains), Telling::Status);
        assert_eq!(told("errors=close", None, &drains), Telling::Close);
    }

    #[test]
    fn a_close_code_says_what_the_status_would_and_whoever_may_come_back_is_told_when() {
        let dialect = dialect::named(Some("pushmesh.v1"));
        let close = |refusal: Refusal| refusal.close(dialect, 700);
        for (refusal, code, word) in [
            (Refusal::BadRequest(BadRequest::new("x")), 4_400, "bad_request: x"),
            (Refusal::BadResume("x".to_owned()), 4_400, "bad_resume: x"),
            (Refusal::Unauthorized("x".into()), 4_401, "unauthorized: x"),
            (Refusal::Forbidden("x"), 4_403, "forbidden: x"),
        ] {
            assert_eq!(close(refusal), Close { code, text: word.to_owned() });
        }
        let exists = close(Refusal::SessionExists);
        assert_eq!((exists.code, exists.text.split(':').next()), (4_409, Some("session_exists")));
        let many = close(Refusal::TooManySessions { sessions_max: 3 });
        assert_eq!((many.code, many.text.split(':').next()), (4_429, Some("too_many_sessions")));
        let later = Close { code: 1_013, text: "{\"retry_ms\":700}".to_owned() };
        assert_eq!(close(Refusal::Full), later);
        let often = close(Refusal::TooManyRequests { wait: Duration::from_secs(2) });
        assert_eq!((often.code, often.text), (1_013, "{\"retry_ms\":2700}".to_owned()));
        assert_eq!(close(Refusal::NotReady(Phase::Draining)), later);
    }
}
