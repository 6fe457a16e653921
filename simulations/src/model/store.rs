//! The directory of one node with its views: the product's, behind no lock.
//!
//! What `Replica` does beside locking stands here again: which policy refuses a claim, and when all own
//! sessions are judged anew.

use std::sync::Arc;

use pushmesh::config::Takeover;
use pushmesh::id::{Incarnation, Stamp};
use pushmesh::internals::{
    Claim, ClaimState, Delta, Digest, Directory, Entry, Held, Key, Known, Lost, MergeError, Owned, Position,
    Shards, Slots, Snapshot, UserHash, View,
};
use pushmesh::{NodeName, limits};

/// The directory and the rows of one boot.
pub(super) struct Store {
    directory: Directory,
    views: Views,
    takeover: Takeover,
}

/// Two, so that what holds within one view only is found out.
struct Views([View; 2]);

impl Shards for Views {
    fn with<R>(&mut self, user: UserHash, work: impl FnOnce(&mut View) -> R) -> R {
        work(&mut self.0[(user.high >> 63) as usize])
    }

    fn set_slots(&mut self, slots: &Arc<Slots>) {
        self.0.iter_mut().for_each(|view| view.set_slots(Arc::clone(slots)));
    }
}

/// A claim that was made.
pub(super) struct Claimed {
    /// Its stamp.
    pub(super) stamp: Stamp,
    /// The sessions of other nodes that it excludes.
    pub(super) displaced: Vec<(Key, Owned)>,
    /// Those of this node.
    pub(super) lost: Vec<Lost>,
}

impl Store {
    /// Empty.
    pub(super) fn new(me: NodeName, incarnation: Incarnation, ring: usize, takeover: Takeover) -> Self {
        let directory = Directory::new(me, incarnation, ring, limits::RELAY_CHANGES_MAX);
        let view = || View::new(1, takeover, Arc::clone(directory.slots()));
        let views = Views([view(), view()]);
        Self { directory, views, takeover }
    }

    /// What is read without the rows.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// As `Replica::claim`.
    pub(super) fn claim(&mut self, key: Key, now_ms: u64, seen: Option<Stamp>) -> Result<Claimed, Held> {
        if self.takeover == Takeover::RejectNewer && self.view(key.user).lookup(key).is_some() {
            return Err(Held);
        }
        let stamp = self.directory.next_stamp(key, now_ms, seen, &mut self.views);
        let displaced = self.view(key.user).displaced(key).into_iter();
        let displaced = displaced.map(|(device, owned)| (Key { device, ..key }, owned));
        let displaced = displaced.filter(|(_, owned)| owned.owner != *self.directory.me()).collect();
        let claim = Claim { stamp, state: ClaimState::Connected };
        let lost = self.directory.claim(key, claim, &mut self.views);
        Ok(Claimed { stamp, displaced, lost })
    }

    /// As `Directory::release`.
    pub(super) fn release(&mut self, key: Key, stamp: Stamp) -> bool {
        self.directory.release(key, stamp, &mut self.views)
    }

    /// As `Directory::merge_delta`.
    pub(super) fn merge(&mut self, owner: &NodeName, delta: Delta) -> Result<Vec<Lost>, MergeError> {
        self.directory.merge_delta(owner, delta, &mut self.views)
    }

    /// As `Directory::begin`.
    pub(super) fn begin(&mut self, owner: &NodeName, at: Position) -> Result<Option<Snapshot>, MergeError> {
        self.directory.begin(owner, at, &mut self.views)
    }

    /// As `Directory::fill`.
    pub(super) fn fill(&mut self, snapshot: &mut Snapshot, entries: &[Entry]) {
        self.directory.fill(snapshot, entries, &mut self.views);
    }

    /// As `Directory::mend`.
    pub(super) fn mend(&mut self, snapshot: &mut Snapshot, delta: &Delta) -> Result<(), MergeError> {
        self.directory.mend(snapshot, delta, &mut self.views)
    }

    /// As `Arriving::end`.
    pub(super) fn end(
        &mut self,
        snapshot: Snapshot,
        digest: Digest,
        count: u64,
    ) -> Result<Vec<Lost>, MergeError> {
        let lost = self.directory.end(snapshot, digest, count, &mut self.views)?;
        if self.takeover == Takeover::ExclusiveDevice { Ok(lost) } else { Ok(self.audit()) }
    }

    /// As `Directory::give_up`.
    pub(super) fn give_up(&mut self, snapshot: Snapshot) {
        self.directory.give_up(snapshot, &mut self.views);
    }

    /// As `Directory::distrust`.
    pub(super) fn distrust(&mut self, owner: &NodeName, held: &Digest) -> bool {
        self.directory.distrust(owner, held)
    }

    /// As `Replica::set_hidden`.
    pub(super) fn set_hidden(&mut self, owner: &NodeName, incarnation: Incarnation, hidden: bool) -> bool {
        self.directory.set_hidden(owner, incarnation, hidden, &mut self.views)
    }

    /// As `Replica::prove`.
    pub(super) fn prove(&mut self, owner: &NodeName, incarnation: Incarnation) -> Vec<Lost> {
        let proven = self.directory.prove(owner, incarnation, &mut self.views);
        if proven { self.audit() } else { Vec::new() }
    }

    /// As `Directory::discard`.
    pub(super) fn discard(&mut self, owner: &NodeName, incarnation: Incarnation, over: bool) {
        self.directory.discard(owner, incarnation, over, &mut self.views);
    }

    /// As `Replica::sweep`.
    pub(super) fn sweep(&mut self) {
        let retired = self.directory.retired();
        if !retired.is_empty() {
            self.views.0.iter_mut().for_each(|view| _ = view.sweep());
            self.directory.swept(&retired, &mut self.views);
        }
    }

    /// As `Replica::chunk`.
    pub(super) fn chunk(&self, owner: &NodeName, after: Option<Key>, max: usize) -> Option<Vec<Entry>> {
        let slot = self.directory.slot_of(owner)?;
        let first = after.map_or(0, |key| (key.user.high >> 63) as usize);
        let views = self.views.0[first..].iter().enumerate();
        let rows = views.flat_map(|(index, view)| view.of_slot(slot, after.filter(|_| index == 0)));
        Some(rows.take(max).map(|row| Entry { key: row.key, claim: row.claim() }).collect())
    }

    /// Every row of a user that is not over.
    pub(super) fn known(&self, user: UserHash) -> Vec<Known> {
        self.view(user).known(user)
    }

    /// All that is visible, in the order of keys.
    pub(super) fn visible(&self) -> impl Iterator<Item = (Key, Owned)> {
        self.views.0.iter().flat_map(|view| view.page(None, usize::MAX))
    }

    fn audit(&self) -> Vec<Lost> {
        self.views.0.iter().flat_map(View::audit).collect()
    }

    fn view(&self, user: UserHash) -> &View {
        &self.views.0[(user.high >> 63) as usize]
    }
}
