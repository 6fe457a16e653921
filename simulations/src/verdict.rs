//! The lines by which the process of one run tells those who started it what came of it.

/// What a line of the coverage table begins with.
pub(crate) const COVERED: &str = "covered ";
/// What the line of a violation begins with.
pub(crate) const FAILED: &str = "FAILED at ";
