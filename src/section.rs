//! Sections: each node writes the records of its own section, and all others hold copies of it.
//!
//! A section is a map from keys to [`Record`]s with exactly one writer, which numbers its writes. So two copies of it merge
//! by taking the one with the larger [`Position`], (incarnation, version): a chain, so that merging is commutative,
//! associative and idempotent.
//!
//! ```text
//!   owner                                  copy
//!   write ──► Log ──► Delta ─────────────► Copy ──► Delta, as it came ──► a peer that does not reach the owner
//!                └──► SnapshotFrame ─────► Snapshot ──► Copy
//!              Digest ◄──── compared ────► Digest
//! ```
//!
//! There are no tombstones and no version vectors: a removal lives only in the owner's bounded ring of changes, which is
//! transport and not state. A copy holds exactly the owner's map at the position that it names, never a partial prefix,
//! and the hash in its digest confirms that.
//!
//! A kind of records is a type that implements [`Record`] and [`Pack`]; the records themselves are kept by whoever uses them,
//! in a [`Store`]. The section follows what they add up to. Deliberately not here: what a record means, who sees it when,
//! and whom a copy is taken from.

mod comparison;
mod copy;
mod delta;
mod digest;
mod head;
mod log;
mod merge_error;
mod packed;
mod recent;
mod record;
mod ring;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;

pub use comparison::{Digests, Finding, news};
pub(crate) use copy::Copy;
pub(crate) use delta::Delta;
pub use digest::{Digest, Position};
pub use head::Head;
pub(crate) use log::Log;
pub use merge_error::MergeError;
pub use packed::{Pack, Packed};
pub use record::Record;
pub(crate) use ring::Write;
pub(crate) use snapshot::{Snapshot, SnapshotFrame};
pub(crate) use store::Store;
