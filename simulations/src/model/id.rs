//! The numbers of boots, links and streams.

/// Number of a boot, in the order in which they happened.
pub(super) type BootId = usize;
/// Number of a link, unique in the run.
pub(super) type LinkId = u64;
/// Number of a stream of a section, unique in the run.
pub(super) type StreamId = u64;
