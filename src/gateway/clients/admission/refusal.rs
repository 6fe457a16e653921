//! Why a client gets no session, whatever it is connected by. Each reason has its label in the metric and its answer.

use std::borrow::Cow;
use std::time::Duration;

use crate::gateway::error::{ApiError, BadRequest};
use crate::gateway::phase::Phase;
use crate::id::IdError;
use crate::metrics::label::Refused;

/// Why a client is not let in.
pub(in crate::gateway::clients) enum Refusal {
    /// What the client says is not understood.
    BadRequest(BadRequest),
    /// The client does not ask for what its transport is.
    UpgradeRequired(&'static str),
    /// Its credentials are missing or wrong.
    Unauthorized(Cow<'static, str>),
    /// Its credentials are good, but not for this.
    Forbidden(&'static str),
    /// Its resume token is not one of this user and this cluster.
    BadResume(String),
    /// The device is connected, and stays.
    SessionExists,
    /// The user has all the sessions that it may have.
    TooManySessions {
        /// So many.
        sessions_max: usize,
    },
    /// Clients connect too often from its address, or for its user.
    TooManyRequests {
        /// When the next one may.
        wait: Duration,
    },
    /// Two clients take the session from each other.
    Contended {
        /// When the next one may come.
        wait: Duration,
    },
    /// The node does not take clients now.
    NotReady(Phase),
    /// The node has as many connections as it may have.
    Full,
}

impl Refusal {
    /// As the metric calls it: by the code of the answer. A client that is told by a close code that the node is full is
    /// counted as [`Refused::Full`] instead.
    pub(in crate::gateway::clients) fn label(&self) -> Refused {
        match self {
            Refusal::BadRequest(_) => Refused::BadRequest,
            Refusal::UpgradeRequired(_) => Refused::UpgradeRequired,
            Refusal::Unauthorized(_) => Refused::Unauthorized,
            Refusal::Forbidden(_) => Refused::Forbidden,
            Refusal::BadResume(_) => Refused::BadResume,
            Refusal::SessionExists => Refused::SessionExists,
            Refusal::TooManySessions { .. } => Refused::TooManySessions,
            Refusal::TooManyRequests { .. } | Refusal::Contended { .. } => Refused::TooManyRequests,
            Refusal::NotReady(_) => Refused::NotReady,
            Refusal::Full => Refused::Overloaded,
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadRequest(bad) => bad.into(),
            Refusal::UpgradeRequired(message) => ApiError::upgrade_required(message),
            Refusal::Unauthorized(message) => ApiError::unauthorized(message),
            Refusal::Forbidden(message) => ApiError::forbidden(message),
            Refusal::BadResume(message) => ApiError::bad_resume(message),
            Refusal::SessionExists => ApiError::session_exists(),
            Refusal::TooManySessions { sessions_max } => ApiError::too_many_sessions(sessions_max),
            Refusal::TooManyRequests { wait } => ApiError::too_many_requests(wait),
            Refusal::Contended { wait } => ApiError::contended(wait),
            Refusal::NotReady(phase) => ApiError::not_ready(phase.as_str()),
            Refusal::Full => {
                ApiError::overloaded("this node has as many connections as it may have: use another node")
            }
        }
    }
}

impl From<BadRequest> for Refusal {
    fn from(bad: BadRequest) -> Self {
        Refusal::BadRequest(bad)
    }
}

impl From<IdError> for Refusal {
    fn from(error: IdError) -> Self {
        BadRequest::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::label::Label as _;

    #[test]
    fn a_refusal_is_counted_under_the_code_of_its_answer() {
        let refusals = [
            Refusal::BadRequest(BadRequest::new("x")),
            Refusal::UpgradeRequired("x"),
            Refusal::Unauthorized("x".into()),
            Refusal::Forbidden("x"),
            Refusal::BadResume("x".to_owned()),
            Refusal::SessionExists,
            Refusal::TooManySessions { sessions_max: 1 },
            Refusal::TooManyRequests { wait: Duration::from_secs(1) },
            Refusal::Contended { wait: Duration::from_secs(1) },
            Refusal::NotReady(Phase::Draining),
            Refusal::Full,
        ];
        for refusal in refusals {
            let label = refusal.label().as_str();
            assert_eq!(ApiError::from(refusal).code(), label);
        }
    }
}
