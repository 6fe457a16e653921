//! This node's copy of the directory: one writer at a time, many readers.
//!
//! The pure [`Directory`] sits behind one mutex, which only the control path takes (claims,
//! releases, merges). The push path reads the views: shards by user, each behind a reader-writer
//! lock that is held for one lookup and never across an await. Lock order: directory, then a shard
//! or the session registry. Nothing under the directory's lock takes longer the more rows there are: what a section
//! counts for is decided there, and the views [adopt](Replica::adopt) it one by one when the lock is free again.
//!
//! Deliberately not here: any decision. What a merge means is the directory's, what a lost key
//! means is the session's.

use std::sync::{Arc, Mutex, MutexGuard, RwLockReadGuard};

use tokio::sync::watch;
use tokio::task::yield_now;

use crate::config::{Takeover, Tuning};
use crate::directory::{Counts, Delta, Directory, Entry, Filling, Known, Lost, Owned, Row, SlotId, View};
use crate::events::Listener;
use crate::id::{Incarnation, NodeName, SessionKey, Stamp, UserId};
use crate::key::{DeviceHash, Key, KeyHasher, UserHash};
use crate::section::{Digest, Head, MergeError, Position};
use crate::vital::finally;

mod mirror;
mod own;
#[cfg(test)]
mod tests;
mod views;

pub use mirror::{Heard, Mirror};

use views::Views;

/// The shared directory of a node.
pub struct Replica {
    me: NodeName,
    hasher: KeyHasher,
    takeover: Takeover,
    tuning: Tuning,
    directory: Mutex<Directory>,
    views: Views,
    own_version: watch::Sender<u64>,
}

/// A claim that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The new claim's stamp.
    pub stamp: Stamp,
    /// How many sessions it excludes, this node's among them.
    pub excluded: usize,
    /// Those of other nodes.
    pub displaced: Vec<(DeviceHash, Owned)>,
    /// The sessions of this node that it excludes.
    pub lost: Vec<Lost>,
}

/// The policy refuses a new connection: the session is held by an earlier one. Or the session of a client that is away: a later one holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session is held by another connection")]
pub struct HeldByAnother;

/// A snapshot that is arriving; given up when dropped before its end.
pub struct Arriving {
    replica: Arc<Replica>,
    snapshot: Option<Filling>,
}

impl Replica {
    /// The empty directory of the node `me` in this boot.
    #[must_use]
    pub fn new(
        me: NodeName,
        incarnation: Incarnation,
        hasher: KeyHasher,
        takeover: Takeover,
        tuning: Tuning,
    ) -> Self {
        let directory = Directory::new(me.clone(), incarnation, tuning.change_ring, tuning.relay_changes);
        let views = Views::new(takeover, directory.slots(), tuning.diffs);
        Self {
            me,
            hasher,
            takeover,
            tuning,
            directory: Mutex::new(directory),
            views,
            own_version: watch::Sender::new(0),
        }
    }

    /// The node whose copy this is.
    #[must_use]
    pub fn me(&self) -> &NodeName {
        &self.me
    }

    /// Hashes session keys as this cluster does.
    #[must_use]
    pub fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// The bounds of replication.
    #[must_use]
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// The cluster's policy.
    #[must_use]
    pub fn takeover(&self) -> Takeover {
        self.takeover
    }

    /// Whether a panic has left it half changed.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.directory.is_poisoned() || self.views.is_poisoned()
    }

    /// How many slots are in use: this node, each copy, and what waits to be swept.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.lock().slots().used()
    }

    /// Number of this node's own claims.
    #[must_use]
    pub fn own_len(&self) -> u64 {
        self.lock().own().len
    }

    /// Where a section stands that this node would serve.
    #[must_use]
    pub fn head(&self, owner: &NodeName) -> Option<Head> {
        self.lock().head(owner)
    }

    /// Every section that this node would serve.
    #[must_use]
    pub fn heads(&self) -> Vec<(NodeName, Digest)> {
        self.lock().heads().map(|(owner, head)| (owner.clone(), head.digest)).collect()
    }

    /// Number of claims that are held of `owner`.
    #[must_use]
    pub fn len_of(&self, owner: &NodeName) -> u64 {
        self.lock().len_of(owner)
    }

    /// Wakes whenever this node's section has a new version.
    #[must_use]
    pub fn watch_own(&self) -> watch::Receiver<u64> {
        self.own_version.subscribe()
    }

    /// See [`Directory::delta_since`].
    #[must_use]
    pub fn delta_since(&self, owner: &NodeName, position: Position, changes_max: usize) -> Option<Delta> {
        self.lock().delta_since(owner, position, changes_max)
    }

    /// Up to `entries_max` claims of `owner` after `after`, for snapshots. `None`: this node does not
    /// serve that section any more.
    #[must_use]
    pub fn chunk(&self, owner: &NodeName, after: Option<Key>, entries_max: usize) -> Option<Vec<Entry>> {
        let mut entries = Vec::new();
        if self.len_of(owner) == 0 {
            return self.head(owner).map(|_| entries); // Nothing is found by walking over everybody else's rows.
        }
        for (index, after) in Views::from(after) {
            // The slot stays what it is while this is held: nobody replaces or sweeps it. If it is another one for the
            // next shard, then the changes since the snapshot began are forgotten, and it begins again.
            let directory = self.lock();
            let slot = directory.slot_of(owner)?;
            let view = self.views.read(index);
            let entry = |row: &Row| Entry { key: row.key, claim: row.claim() };
            let room = entries_max - entries.len();
            if slot == SlotId::OWN {
                entries.extend(view.own(after).take(room).map(entry));
            } else {
                entries.extend(view.of_slot(slot, after).take(room).map(entry));
            }
            if entries.len() == entries_max {
                break;
            }
        }
        Some(entries)
    }

    /// Merges a delta; the sessions that this node lost by it are in the result.
    ///
    /// # Errors
    /// See [`Directory::merge_delta`].
    pub fn merge_delta(&self, owner: &NodeName, delta: Delta) -> Result<Vec<Lost>, MergeError> {
        self.lock().merge_delta(owner, delta, &mut &self.views)
    }

    /// See [`Directory::is_distrusted`].
    #[must_use]
    pub fn is_distrusted(&self, owner: &NodeName) -> bool {
        self.lock().is_distrusted(owner)
    }

    /// See [`Directory::distrust`].
    pub fn distrust(&self, owner: &NodeName, held: &Digest) -> bool {
        self.lock().distrust(owner, held)
    }

    /// Begins to take a snapshot. `None`: what is held is as new.
    ///
    /// # Errors
    /// See [`Directory::begin`].
    pub fn begin(
        self: &Arc<Self>,
        owner: &NodeName,
        position: Position,
    ) -> Result<Option<Arriving>, MergeError> {
        let snapshot = self.lock().begin(owner, position)?;
        self.follow(|_| ()).for_each(drop);
        Ok(snapshot.map(|snapshot| Arriving { replica: Arc::clone(self), snapshot: Some(snapshot) }))
    }

    /// Hides or shows what `owner` claimed in that boot, as soon as the views [adopt](Self::adopt) it. Returns whether what
    /// is shown is still to be [proven](Self::prove).
    pub fn set_hidden(&self, owner: &NodeName, incarnation: Incarnation, hidden: bool) -> bool {
        self.lock().set_hidden(owner, incarnation, hidden)
    }

    /// What is held of `owner` in that boot is of today; the sessions that this node lost by it are in
    /// the result.
    pub fn prove(&self, owner: &NodeName, incarnation: Incarnation) -> Vec<Lost> {
        let proven = self.lock().prove(owner, incarnation);
        if proven { self.adopt() } else { Vec::new() }
    }

    /// Forgets the section of `owner` if it is of that boot or of an earlier one, as soon as the views
    /// [adopt](Self::adopt) it. `over`: nothing of it is taken any more.
    pub fn discard(&self, owner: &NodeName, incarnation: Incarnation, over: bool) {
        self.lock().discard(owner, incarnation, over);
    }

    /// Lets the views follow what was decided of the sections. The sessions that this node lost by it are in the result.
    /// It costs nothing that grows with the sessions of others, unless somebody [listens](Self::listen).
    #[must_use = "whoever has lost a session has to be told"]
    pub fn adopt(&self) -> Vec<Lost> {
        self.follow(View::take_lost).flatten().collect()
    }

    /// Lets each view follow, and then does that with it. What is lost waits in the views for whoever made the decision.
    fn follow<R>(&self, then: impl Fn(&mut View) -> R) -> impl Iterator<Item = R> {
        let slots = Arc::clone(self.lock().slots());
        (0..Views::LEN).map(move |index| {
            self.views.write(index, |view| {
                view.adopt(&slots);
                then(view)
            })
        })
    }

    /// One more listener, which has to [read](Self::read_all) before it hears anything.
    #[must_use]
    pub fn listen(&self) -> Listener {
        self.views.listen()
    }

    /// What is visible, view by view, in the order of keys. From the call for a view on `listener` hears of the changes
    /// there.
    pub fn read_all(&self, listener: &mut Listener) -> impl Iterator<Item = (Key, Owned)> {
        (0..Views::LEN).flat_map(|index| {
            // What was told before belongs to what is read.
            self.views.write(index, |view| {
                listener.has_read(index, view.listen());
                view.page(None, usize::MAX)
            })
        })
    }

    /// The visible owner of a session.
    #[must_use]
    pub fn lookup(&self, key: Key) -> Option<Owned> {
        self.read(key.user).lookup(key)
    }

    /// See [`View::rival`].
    #[must_use]
    pub fn rival(&self, key: Key) -> Option<Owned> {
        self.read(key.user).rival(key)
    }

    /// The visible owner of a session, the claim `(owner, stamp)` aside: that owner says that it is over.
    #[must_use]
    pub fn lookup_other(&self, key: Key, owner: &NodeName, stamp: Stamp) -> Option<Owned> {
        self.read(key.user).lookup_other(key, owner, stamp)
    }

    /// The visible owner of a session, the claim of that node aside: it asks, and knows of its own.
    #[must_use]
    pub fn lookup_beside(&self, key: Key, asker: &NodeName) -> Option<Owned> {
        let view = self.read(key.user);
        let shown = view.lookup(key)?;
        if shown.owner == *asker { view.lookup_other(key, asker, shown.stamp) } else { Some(shown) }
    }

    /// The visible owner of the session with these names.
    #[must_use]
    pub fn lookup_named(&self, key: &SessionKey) -> Option<Owned> {
        self.lookup(self.hasher.key(key))
    }

    /// The visible sessions of a user, ordered by device.
    #[must_use]
    pub fn user(&self, user: &UserId) -> Vec<(Key, Owned)> {
        self.sessions_of(self.hasher.user(user))
    }

    /// The same of the user with this hash.
    #[must_use]
    pub fn sessions_of(&self, user: UserHash) -> Vec<(Key, Owned)> {
        self.read(user).user(user)
    }

    /// Every row that this node holds of a user, visible or not.
    #[must_use]
    pub fn known(&self, user: UserHash) -> Vec<Known> {
        self.read(user).known(user)
    }

    /// Up to `sessions_max` visible sessions after `after`, in the order of keys, which is the same
    /// on every node; the key of the last one continues the list.
    #[must_use]
    pub fn page(&self, after: Option<Key>, sessions_max: usize) -> Vec<(Key, Owned)> {
        let mut page = Vec::new();
        for (index, after) in Views::from(after) {
            page.extend(self.views.read(index).page(after, sessions_max - page.len()));
            if page.len() == sessions_max {
                break;
            }
        }
        page
    }

    /// Exact counts of what is visible here. Walks all claims, one shard at a time.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for index in 0..Views::LEN {
            self.views.read(index).count(&mut counts);
        }
        counts
    }

    /// The sessions of this node that any other claim excludes.
    #[must_use]
    pub fn audit(&self) -> Vec<Lost> {
        (0..Views::LEN).flat_map(|index| self.views.read(index).audit()).collect()
    }

    /// Removes the rows of what is over, shard by shard. Returns how many there were.
    pub async fn sweep(&self) -> usize {
        let retired = self.lock().retired();
        if retired.is_empty() {
            return 0;
        }
        let mut rows = 0;
        for swept in self.follow(View::sweep) {
            rows += swept;
            yield_now().await;
        }
        self.lock().swept(&retired);
        rows
    }

    fn lock(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().expect(NOT_POISONED)
    }

    fn read(&self, user: UserHash) -> RwLockReadGuard<'_, View> {
        self.views.read(Views::of(user))
    }

    /// Lets go of the lock and wakes whoever watches the own section, in that order.
    fn publish(&self, directory: MutexGuard<'_, Directory>) {
        let version = directory.own().digest.position.version;
        drop(directory);
        // Another one may have published a later version in between.
        self.own_version.send_if_modified(|published| {
            let later = version > *published;
            *published = version.max(*published);
            later
        });
    }
}

impl Arriving {
    /// Writes the entries of a chunk.
    pub fn fill(&mut self, entries: &[Entry]) {
        let snapshot = self.snapshot.as_mut().expect(UNTIL_ITS_END);
        self.replica.lock().fill(snapshot, entries, &mut &self.replica.views);
    }

    /// Applies a delta that belongs to it.
    ///
    /// # Errors
    /// See [`Directory::mend`].
    pub fn mend(&mut self, delta: &Delta) -> Result<(), MergeError> {
        let snapshot = self.snapshot.as_mut().expect(UNTIL_ITS_END);
        self.replica.lock().mend(snapshot, delta, &mut &self.replica.views)
    }

    /// Makes it the copy of its owner's section; the sessions that this node lost by it are in the
    /// result.
    ///
    /// # Errors
    /// See [`Directory::end`].
    pub fn end(mut self, digest: Digest, count: u64) -> Result<Vec<Lost>, MergeError> {
        let snapshot = self.snapshot.take().expect(UNTIL_ITS_END);
        // Where it fails the views stay as they are: what others have decided is theirs to tell.
        self.replica.lock().end(snapshot, digest, count)?;
        Ok(self.replica.adopt())
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(snapshot) = self.snapshot.take() {
            finally(|| self.replica.lock().give_up(snapshot));
        }
    }
}

const UNTIL_ITS_END: &str = "the snapshot is here until its end";
const NOT_POISONED: &str = "no panic happens under this lock";
