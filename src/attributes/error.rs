//! Why a text is no attributes, and why attributes were not read or changed.

use crate::limits;

/// Why a text is neither attributes nor a patch for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAttributes {
    /// It is no JSON object, or one that is read in more than one way.
    #[error("attributes are a JSON object with each name once: {problem}")]
    NotUnderstood {
        /// What is wrong.
        problem: String,
    },
    /// It is an object in an object, or a list in a list, too often.
    #[error("attributes have at most {} levels", limits::ATTRIBUTES_DEPTH_MAX)]
    TooDeep,
    /// It is too long.
    #[error(
        "the attributes of a session have at most {} bytes as JSON, these have {len}",
        limits::ATTRIBUTES_BYTES_MAX
    )]
    TooLarge {
        /// Bytes, as a node writes them.
        len: usize,
    },
}

/// Why attributes were not read or changed. Unless it says otherwise they are as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttributesError {
    /// There is no such session, connected or kept.
    #[error("there is no such session, connected or kept: connect it first")]
    NoSession,
    /// What the change makes of them is longer than attributes may be.
    #[error(
        "the attributes of a session have at most {} bytes as JSON, and would have more: keep less in them",
        limits::ATTRIBUTES_BYTES_MAX
    )]
    TooLarge,
    /// The change has another `sid` than the session.
    #[error("`sid` is the login of the session's token, and no change sets or removes it: leave it out")]
    Reserved,
    /// The node that holds the session is of an earlier version.
    #[error("the node that holds the session knows no attributes: bring all nodes to this version")]
    NotSupported,
    /// A queue on the way is full.
    #[error("a queue on the way to the session is full: try again in a second, and ask less at once")]
    Overloaded,
    /// The node that holds the session did not answer in time: a change may be made or not.
    #[error(
        "the node that holds the session did not answer in time, so a change may or may not be made: read the attributes, \
         or make the change again"
    )]
    Unreachable,
    /// The node that was asked has not joined its cluster yet, and knows of no such session.
    #[error(
        "this node is joining its cluster and knows of no such session: wait until it is ready, or ask another one"
    )]
    NotReady,
    /// The node that was asked reaches no other one, and knows of no such session.
    #[error("this node reaches no other node of the cluster and knows of no such session: ask another one")]
    Isolated,
    /// The node that was asked has stopped.
    #[error("this node has stopped: use another one")]
    Stopped,
}
