//! What has happened to the groups.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pushmesh::id::Stamp;
use pushmesh::internals::Key;
use pushmesh::internals::quorum::{Boot, Config, Entry, Fence, Position};

/// A message: its session, and where it stands.
pub(super) type Place = (Key, Position);

/// Where an entry stands.
pub(super) fn place_of(entry: &Entry<u64>) -> Place {
    (entry.key, entry.at)
}

/// What has happened to the groups, whatever anybody in them knows.
#[derive(Default)]
pub(super) struct History {
    /// Which claims a claim comes after, once its members were told, or it was complete.
    pub(super) after: BTreeMap<Fence, BTreeSet<Fence>>,
    /// All configurations that there ever were to be, by their owners and epochs.
    pub(super) configs: BTreeMap<(Boot, u32), Config>,
    /// Those in effect.
    pub(super) announced: BTreeMap<Boot, Config>,
    /// Messages that owners have called stored, with the claims by which each of them did.
    pub(super) stored: BTreeMap<Place, BTreeSet<Fence>>,
    /// Messages that nobody needs any more.
    pub(super) forgotten: BTreeSet<Place>,
    /// Claims whose clients were told of them.
    pub(super) told: BTreeSet<Fence>,
    /// Messages that a client has passed over that showed nothing, while the session before was not known to its members.
    pub(super) passed: BTreeSet<Place>,
    /// Claims whose session has ended, and those before them: who has not heard of it may store something for them still.
    pub(super) ended: BTreeSet<Fence>,
    /// Messages all of whose holders have crashed.
    pub(super) lost: BTreeSet<Place>,
    /// Takeovers that are complete, with when they were and what they brought.
    pub(super) complete: Vec<(Key, Fence, Duration, BTreeSet<Place>)>,
    /// Fences of members, as they were last seen, by member, owner and session.
    pub(super) fences: BTreeMap<(Boot, Boot, Key), Fence>,
    /// What members held when they were looked at last, by member and owner, each with the claim that it was held by.
    pub(super) held: BTreeMap<(Boot, Boot), BTreeMap<Place, Stamp>>,
    /// An owner went on without those that might have known of takeovers.
    pub(super) orphaned: bool,
}

impl History {
    /// Whether a message has to be found by whoever takes its session over completely.
    pub(super) fn is_due(&self, place: &Place) -> bool {
        let is_past = [&self.forgotten, &self.lost, &self.passed].iter().any(|past| past.contains(place));
        !is_past && self.stored.get(place).is_none_or(|by| !by.is_subset(&self.ended))
    }

    /// All claims that one has come after, as each of them knew.
    pub(super) fn before(&self, claim: &Fence) -> BTreeSet<Fence> {
        let mut all = BTreeSet::new();
        let mut open = vec![claim.clone()];
        while let Some(claim) = open.pop() {
            let new =
                self.after.get(&claim).into_iter().flatten().filter(|before| all.insert((*before).clone()));
            open.extend(new.cloned().collect::<Vec<_>>());
        }
        all
    }

    /// Whether that owner has called it stored for that claim or an earlier one. A copy that is held by an earlier claim than any of those was
    /// never counted: the owner lets it go, and writes it again.
    pub(super) fn counts(&self, place: &Place, owner: &Boot, claim: Stamp) -> bool {
        let of = self.stored.get(place).into_iter().flatten();
        of.filter(|by| by.by == *owner).any(|by| by.stamp <= claim)
    }

    /// Whether another owner has stored it.
    pub(super) fn is_elsewhere(&self, place: &Place, owner: &Boot) -> bool {
        self.stored.get(place).is_some_and(|claims| claims.iter().any(|claim| claim.by != *owner))
    }
}
