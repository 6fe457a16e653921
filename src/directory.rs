//! The session-ownership directory: which node owns the live connection of user U on device D.
//!
//! Every entry has exactly one natural writer, the node that holds the socket. So the replicated
//! state is a map from node to *section*, the versioned map of what that node owns, and two copies of
//! a section merge by taking the one with the larger (incarnation, version): a chain, so that merging
//! is commutative, associative and idempotent. Who wins a key that two sections claim is decided in
//! the [`View`] by the [policy] of takeover.
//!
//! ```text
//!   claim / release ──► own rows ──► Log ──► Delta | Snapshot ──► peers
//!   Delta | Snapshot of a peer ──► rows of its slot ──► own sessions lost
//!   any change of what is visible ──► Diff ──► listeners
//! ```
//!
//! How a section is written, copied and compared is the same for records of any kind: see [`section`](crate::section).
//! Here the record is a claim ([`Entry`]).
//!
//! The rows of all sections are kept once, in the views that pushes read, one for each part of the
//! users ([`Shards`]). The heads of the sections, and who may write what, are the [`Directory`]'s. Everything is
//! pure: input in, changes out; the concurrent shell around it is [`replica`](crate::replica).

mod claim;
mod diff;
mod entry;
mod filling;
mod heads;
mod order;
mod owned;
pub mod policy;
mod rows;
mod shards;
mod slot;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod view;

pub use claim::{Claim, ClaimState};
pub use diff::Diff;
pub use entry::{Delta, Entry, SnapshotFrame};
pub use filling::Filling;
pub use heads::Directory;
pub use owned::Owned;
pub use shards::Shards;
pub use slot::{Holder, SlotId, Slots, Standing};
pub use table::{Row, Table};
pub use view::{Counts, Known, Lost, Rival, View};
