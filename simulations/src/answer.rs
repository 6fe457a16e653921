//! What a node answers of one session that a push was for.

use pushmesh::Outcome;

use crate::id::ClientIndex;

/// What became of a push at one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The client, if it is named.
    pub(crate) client: Option<ClientIndex>,
    /// The name of the node that answered.
    pub(crate) node: Option<String>,
    /// What it said.
    pub(crate) outcome: Outcome,
    /// How many other nodes hold it, as it said.
    pub(crate) copies: u8,
}
