//! The headings of the help, which put the flags into groups.

pub(super) const MESH: &str = "Mesh";
pub(super) const ACCESS: &str = "Access";
pub(super) const LIMITS: &str = "Limits";
pub(super) const TIMERS: &str = "Timers";
