//! This node's copy of the directory: one writer at a time, many readers.
//!
//! The pure [`Directory`] sits behind one mutex, which only the control path takes (claims,
//! releases, merges). The push path reads the view: shards by user, each behind a reader-writer
//! lock that is held for one lookup and never across an await. Lock order: directory, then a shard
//! or the session registry.
//!
//! Deliberately not here: any decision. What a merge means is the directory's, what a lost key
//! means is the session's.

use std::sync::{Mutex, MutexGuard, RwLock};

use tokio::sync::watch;

use crate::directory::{
    Claim, Counts, Delta, Digest, Directory, Lost, MergeError, Merged, Owned, Position, Section, View,
    ViewChange,
};
use crate::hash;
use crate::id::{DeviceId, Incarnation, NodeName, SessionKey, Stamp, UserId};
use crate::limits;

/// The shared directory of a node.
pub(crate) struct Replica {
    directory: Mutex<Directory>,
    shards: Box<[RwLock<View>]>,
    own_version: watch::Sender<u64>,
}

/// A claim that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimed {
    /// The new claim's stamp.
    pub(crate) stamp: Stamp,
    /// Who owned the key until now.
    pub(crate) previous: Option<Owned>,
}

impl Replica {
    /// The empty directory of the node `me` in this boot.
    pub(crate) fn new(me: NodeName, incarnation: Incarnation) -> Self {
        Self {
            directory: Mutex::new(Directory::new(me, incarnation, limits::CHANGE_RING_MAX)),
            shards: (0..limits::VIEW_SHARDS).map(|_| RwLock::new(View::default())).collect(),
            own_version: watch::Sender::new(0),
        }
    }

    /// Claims `key` for this node, above every stamp known here and above `resumed`, the one that
    /// the client brings. `register` is called before anybody can see the claim.
    pub(crate) fn claim(
        &self,
        key: &SessionKey,
        now_ms: u64,
        resumed: Option<Stamp>,
        register: impl FnOnce(Stamp),
    ) -> Claimed {
        let mut directory = self.lock();
        let (previous, seen) = {
            let view = self.shard(&key.user).read().expect(NOT_POISONED);
            (view.lookup(key), view.stamp(key).max(resumed))
        };
        let (claim, change) = directory.claim(key.clone(), now_ms, seen);
        register(claim.stamp);
        self.publish(&directory, &[change]);
        Claimed { stamp: claim.stamp, previous }
    }

    /// Releases this node's claim with that stamp, if it still stands.
    pub(crate) fn release(&self, key: &SessionKey, stamp: Stamp) {
        let mut directory = self.lock();
        if let Some(change) = directory.release(key, stamp) {
            self.publish(&directory, &[change]);
        }
    }

    /// Number of this node's own claims.
    pub(crate) fn own_len(&self) -> usize {
        self.lock().own().len()
    }

    /// Position and hash of this node's section.
    pub(crate) fn own_digest(&self) -> Digest {
        self.lock().own().digest()
    }

    /// What is held of the section of `owner`.
    pub(crate) fn position(&self, owner: &NodeName) -> Position {
        self.lock().position(owner)
    }

    /// Position and hash of what is held of the section of `owner`.
    pub(crate) fn held(&self, owner: &NodeName) -> Option<Digest> {
        self.lock().held(owner)
    }

    /// Number of claims held in the copy of the section of `owner`.
    pub(crate) fn len_of(&self, owner: &NodeName) -> usize {
        self.lock().len_of(owner)
    }

    /// Wakes whenever this node's section has a new version.
    pub(crate) fn watch_own(&self) -> watch::Receiver<u64> {
        self.own_version.subscribe()
    }

    /// See [`Directory::delta_since`].
    pub(crate) fn delta_since(&self, position: Position, changes_max: usize) -> Option<Delta> {
        self.lock().delta_since(position, changes_max)
    }

    /// Up to `entries_max` of this node's claims after `after`; for snapshots.
    pub(crate) fn own_chunk(
        &self,
        after: Option<&SessionKey>,
        entries_max: usize,
    ) -> Vec<(SessionKey, Claim)> {
        self.lock().own().chunk(after, entries_max)
    }

    /// The digest and size of this node's section, if it stands at `position`.
    pub(crate) fn own_at(&self, position: Position) -> Option<(Digest, u64)> {
        let directory = self.lock();
        let own = directory.own();
        (own.position() == position).then(|| (own.digest(), own.len() as u64))
    }

    /// Merges a delta; the keys that this node lost by it are in the result.
    ///
    /// # Errors
    /// See [`Directory::merge_delta`].
    pub(crate) fn merge_delta(&self, owner: &NodeName, delta: Delta) -> Result<Vec<Lost>, MergeError> {
        let mut directory = self.lock();
        match directory.merge_delta(owner, delta) {
            Ok(merged) => Ok(self.show(merged)),
            Err((error, merged)) => {
                self.show(merged);
                Err(error)
            }
        }
    }

    /// Merges a whole section; the keys that this node lost by it are in the result.
    ///
    /// # Errors
    /// See [`Directory::merge_section`].
    pub(crate) fn merge_section(&self, owner: &NodeName, section: Section) -> Result<Vec<Lost>, MergeError> {
        let mut directory = self.lock();
        directory.merge_section(owner, section).map(|merged| self.show(merged))
    }

    /// Hides or shows what `owner` claimed in that boot; the keys that this node lost by it are in
    /// the result.
    pub(crate) fn set_hidden(&self, owner: &NodeName, incarnation: Incarnation, hidden: bool) -> Vec<Lost> {
        let mut directory = self.lock();
        let merged = directory.set_hidden(owner, incarnation, hidden);
        self.show(merged)
    }

    /// Forgets the section of `owner` if it is of that boot or of an earlier one.
    pub(crate) fn discard(&self, owner: &NodeName, incarnation: Incarnation) {
        let mut directory = self.lock();
        let merged = directory.discard(owner, incarnation);
        self.show(merged);
    }

    /// The visible owner of a session.
    pub(crate) fn lookup(&self, key: &SessionKey) -> Option<Owned> {
        self.shard(&key.user).read().expect(NOT_POISONED).lookup(key)
    }

    /// The visible sessions of a user, ordered by device.
    pub(crate) fn user(&self, user: &UserId) -> Vec<(DeviceId, Owned)> {
        self.shard(user).read().expect(NOT_POISONED).user(user)
    }

    /// Up to `sessions_max` visible sessions after `after`. The order is fixed but arbitrary, the
    /// same on every node; the key of the last one continues the list.
    pub(crate) fn page(&self, after: Option<&SessionKey>, sessions_max: usize) -> Vec<(SessionKey, Owned)> {
        let first = after.map_or(0, |key| shard_of(&key.user));
        let mut page = Vec::new();
        for (index, shard) in self.shards.iter().enumerate().skip(first) {
            let after = after.filter(|_| index == first);
            page.extend(shard.read().expect(NOT_POISONED).page(after, sessions_max - page.len()));
            if page.len() == sessions_max {
                break;
            }
        }
        page
    }

    /// Exact counts of what is visible here. Walks all claims, one shard at a time.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for shard in &self.shards {
            shard.read().expect(NOT_POISONED).count(&mut counts);
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().expect(NOT_POISONED)
    }

    fn shard(&self, user: &UserId) -> &RwLock<View> {
        &self.shards[shard_of(user)]
    }

    fn publish(&self, directory: &Directory, changes: &[ViewChange]) {
        self.apply(changes);
        self.own_version.send_replace(directory.own().version());
    }

    fn show(&self, merged: Merged) -> Vec<Lost> {
        self.apply(&merged.changes);
        merged.lost
    }

    fn apply(&self, changes: &[ViewChange]) {
        for change in changes {
            match change {
                ViewChange::Upsert { key, .. } | ViewChange::Remove { key, .. } => {
                    self.shard(&key.user).write().expect(NOT_POISONED).apply(change);
                }
                ViewChange::Hidden { .. } => {
                    for shard in &self.shards {
                        shard.write().expect(NOT_POISONED).apply(change);
                    }
                }
            }
        }
    }
}

/// The shard of a user: the same on every node and in every run, because cursors name keys only.
fn shard_of(user: &UserId) -> usize {
    hash::bucket(user.as_str(), limits::VIEW_SHARDS)
}

const NOT_POISONED: &str = "no panic happens under this lock";
