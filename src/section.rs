//! A section: the records that one node writes and all others copy.

mod comparison;
mod digest;
mod merge_error;
mod packed;

pub use comparison::{Digests, Finding, news};
pub use digest::{Digest, Position};
pub use merge_error::MergeError;
pub use packed::{Pack, Packed};
