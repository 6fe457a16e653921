//! Clients that are away, and whose owners are gone: this node keeps their sessions on.
//!
//! Of the members of a group the first that is well does so. Where nodes do not agree who that is two may: their claims are just
//! above that of the owner, one of them is above the other, and none stands against a claim that the client makes itself.

use crate::id::Stamp;
use crate::key::Key;
use crate::quorum::{Boot, Entry};
use crate::session::{Absence, Copied};

/// A client that is away, and whose owner is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Absent {
    /// The session.
    pub(crate) key: Key,
    /// Who it is.
    pub(crate) absence: Absence,
    /// Who has owned it.
    pub(crate) owner: Boot,
    /// With which stamp.
    pub(crate) stamp: Stamp,
    /// How long it may be away, in seconds.
    pub(crate) seconds: u32,
    /// Whether this node is the one to keep it on, unless it is elsewhere.
    pub(crate) is_mine: bool,
}

impl Absent {
    /// What an owner has left there.
    pub(super) fn of(owner: &Boot, entry: Entry<Copied>, is_mine: bool) -> Option<Self> {
        let Entry { key, claim, message, .. } = entry;
        let absence = Absence::of(&message)?;
        Some(Self { key, absence, owner: owner.clone(), stamp: claim, seconds: message.keep, is_mine })
    }
}
