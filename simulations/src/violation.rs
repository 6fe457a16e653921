//! Something that must be true of a run, and is not.

/// Something that must be true is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at_ms} ms: {checker}: {what}")]
pub(crate) struct Violation {
    /// When it was seen, in simulated milliseconds.
    pub(crate) at_ms: u64,
    /// What had to be true.
    pub(crate) checker: &'static str,
    /// What is.
    pub(crate) what: String,
}
