//! A directory of any size for the benches: who is connected, at which node, and what happens next.
//!
//! Five sessions belong to four users, so that every fourth user has two. Three nodes hold a third
//! each: the one whose [`Replica`] is measured, and two [`Peer`]s, which exist only as what they
//! would send. A peer knows what it claims, so that its deltas carry the hash that a merge checks.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use pushmesh::config::{Takeover, Tuning};
use pushmesh::id::{Incarnation, Stamp};
use pushmesh::internals::{
    Claim, ClaimState, Delta, Digest, Entry, Key, KeyHasher, Packed, Position, Replica,
};
use pushmesh::{DeviceId, NodeName, SessionKey, UserId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Another node, as its deltas and snapshots show it.
pub(crate) struct Peer {
    /// Its name.
    pub(crate) name: NodeName,
    digest: Digest,
    len: u64,
    hasher: KeyHasher,
    /// Its sessions are the numbers with this rest modulo [`OWNERS`].
    rest: u64,
    /// The stamps of its sessions; 0 for who is not connected.
    stamps: Vec<u64>,
    /// Who is not connected, the longest first.
    gone: VecDeque<usize>,
    last_stamp: u64,
    random: StdRng,
}

impl Peer {
    /// The owner of its share of the first `sessions` sessions.
    pub(crate) fn new(rest: u64, sessions: u64, hasher: KeyHasher) -> Self {
        let connected = (rest..sessions).step_by(OWNERS).count();
        let known = connected + connected / 10 + 1;
        let position = Position { incarnation: BOOT, version: connected as u64 };
        let mut peer = Self {
            name: name(&format!("n{}", rest + 1)),
            digest: Digest { position, hash: 0 },
            len: 0,
            hasher,
            rest,
            stamps: vec![0; known],
            gone: (connected..known).collect(),
            last_stamp: Stamp::next(NOW_MS, None).raw(),
            random: StdRng::seed_from_u64(rest),
        };
        (0..connected).for_each(|at| peer.write(at, true));
        peer
    }

    /// Where its section stands.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Number of its sessions.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// What it claims, in the order of keys, as a snapshot brings it.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = (0..self.stamps.len()).filter_map(|at| self.entry(at)).collect();
        entries.sort_unstable_by_key(|entry| entry.key);
        entries
    }

    /// Gives the replica a copy of its section, as a snapshot does. `entries` are all that it claims.
    pub(crate) fn send(&self, replica: &Arc<Replica>, entries: &[Entry]) {
        let arriving = replica.begin(&self.name, self.digest.position).expect("nobody holds a later one");
        let mut arriving = arriving.expect("nobody holds one as new");
        entries.chunks(CHUNK_ENTRIES).for_each(|chunk| arriving.fill(chunk));
        arriving.end(self.digest, self.len).expect("the digest is that of the entries");
    }

    /// Its next delta, of this many changes: half are sessions that come back while they are connected,
    /// a quarter leaves, a quarter arrives.
    pub(crate) fn delta(&mut self, changes: usize) -> Delta {
        let from = self.digest.position.version;
        let (mut upserts, mut removes) = (Vec::new(), Vec::new());
        // The net effect names a key once.
        let mut named = BTreeSet::new();
        while named.len() < changes {
            let (at, stays) = match self.random.random_range(0..4) {
                0 => (self.gone.pop_front().unwrap_or_else(|| self.connected()), true),
                1 => (self.connected(), false),
                _ => (self.connected(), true),
            };
            if !named.insert(at) {
                continue;
            }
            self.write(at, stays);
            match self.entry(at) {
                Some(entry) => upserts.push(entry),
                None => {
                    removes.push(self.key(at));
                    self.gone.push_back(at);
                }
            }
        }
        self.digest.position.version += changes as u64;
        let Digest { position: Position { incarnation, version: to }, hash } = self.digest;
        // An owner takes them from its ring in the order of keys.
        upserts.sort_unstable_by_key(|entry| entry.key);
        removes.sort_unstable();
        Delta { incarnation, from, to, hash, upserts: Packed(upserts), removes: Packed(removes) }
    }

    /// Somebody who is connected.
    fn connected(&mut self) -> usize {
        loop {
            let at = self.random.random_range(0..self.stamps.len());
            if self.stamps[at] != 0 {
                return at;
            }
        }
    }

    /// Claims a session with a new stamp, or releases it.
    fn write(&mut self, at: usize, stays: bool) {
        let key = self.key(at);
        let hash = |entry: Option<Entry>| entry.map_or(0, |entry| entry.claim.hash(&key));
        let before = self.entry(at);
        self.last_stamp += 1;
        self.stamps[at] = if stays { self.last_stamp } else { 0 };
        let after = self.entry(at);
        self.digest.hash ^= hash(before) ^ hash(after);
        self.len = self.len + u64::from(after.is_some()) - u64::from(before.is_some());
    }

    fn key(&self, at: usize) -> Key {
        self.hasher.key(&session(at as u64 * OWNERS as u64 + self.rest))
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let stamp = self.stamps[at];
        let claim = Claim { stamp: Stamp::from_raw(stamp), state: ClaimState::Connected };
        (stamp != 0).then(|| Entry { key: self.key(at), claim })
    }
}

/// A node's directory that holds nothing yet.
pub(crate) fn empty() -> Arc<Replica> {
    let hasher = KeyHasher::new(&[7; 32]);
    Arc::new(Replica::new(name("n1"), BOOT, hasher, Takeover::default(), Tuning::default()))
}

/// A directory of that many sessions, and the peers that hold two thirds of them.
pub(crate) fn filled(sessions: u64) -> (Arc<Replica>, Vec<Peer>) {
    let replica = empty();
    (0..sessions).step_by(OWNERS).for_each(|number| claim(&replica, number));
    let peers = (1..OWNERS as u64).map(|rest| Peer::new(rest, sessions, replica.hasher().clone()));
    let peers: Vec<_> = peers.collect();
    peers.iter().for_each(|peer| peer.send(&replica, &peer.entries()));
    (replica, peers)
}

/// Claims a session for the node of the replica.
pub(crate) fn claim(replica: &Replica, number: u64) {
    claim_key(replica, replica.hasher().key(&session(number)));
}

/// Claims a key for the node of the replica, and returns the stamp.
pub(crate) fn claim_key(replica: &Replica, key: Key) -> Stamp {
    replica.claim(key, NOW_MS, None, None, None, |_| {}).expect("this policy refuses nobody").stamp
}

/// The names of a session by its number.
pub(crate) fn session(number: u64) -> SessionKey {
    let user = UserId::new(format!("user-{:08}", number * 4 / 5)).expect("letters and digits");
    let device = DeviceId::new(format!("device-{}", number % 5)).expect("letters and digits");
    SessionKey::new(user, device)
}

/// A node's name.
pub(crate) fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("letters and digits")
}

/// Nodes that hold the sessions.
pub(crate) const OWNERS: usize = 3;
/// Every node's boot.
pub(crate) const BOOT: Incarnation = Incarnation(1_700_000_000_000);
/// The wall clock of all claims: stamps of one key grow by their counter.
pub(crate) const NOW_MS: u64 = 1_700_000_000_000;
/// Entries of one chunk of a snapshot. Source: the product's own limit.
pub(crate) const CHUNK_ENTRIES: usize = pushmesh::limits::SNAPSHOT_CHUNK_ENTRIES;
