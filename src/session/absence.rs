//! A client that is away, as other nodes hold it for the owner of its session: with that they keep the session on when the owner is gone.

use serde::{Deserialize, Serialize};

use crate::id::{LoginId, SessionKey};
use crate::session::Copied;

/// Whose client is away. How long that is kept is said beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Absence {
    /// The names of the session, of which other nodes know the hash alone.
    pub(crate) names: SessionKey,
    /// The login of the client.
    pub(crate) login: Option<LoginId>,
}

impl Absence {
    /// As it is held.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names are texts")
    }

    /// What is held there says. `None`: it was not written by a node.
    pub(crate) fn of(copied: &Copied) -> Option<Self> {
        serde_json::from_slice(copied.message.payload.bytes()).ok()
    }
}
