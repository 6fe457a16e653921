//! Clients of the fast level, and what a node does with their sessions: as the product's `router/lease`,
//! `router/supersede` and `session/registry`, without sockets.
//!
//! Left out: under `reject-newer` a resume token, and whom it lets stay.

use pushmesh::id::Stamp;
use pushmesh::internals::{DeviceHash, Key, Lost, MemberState, UserHash};
use pushmesh::limits;

use crate::event::NodeIndex;
use crate::model::boot::{Boot, BootId, Session};
use crate::model::cluster::{Cluster, Event, Message, index_of};
use crate::model::plan::DEVICES;

/// One device of one user.
#[derive(Default)]
pub(super) struct Client {
    /// Its last session: where, and with which stamp.
    session: Option<(BootId, Stamp)>,
}

impl Client {
    /// All clients, none of them connected.
    pub(super) fn all(users: u64) -> Vec<Self> {
        (0..users * DEVICES).map(|_| Self::default()).collect()
    }
}

/// The hash of a user, spread as hashes are.
pub(super) fn user_hash(user: u64) -> UserHash {
    UserHash { high: (user + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), low: user }
}

impl Cluster {
    /// A client connects to a node.
    pub(super) fn open(&mut self, user: u64, device: u64, node: NodeIndex, resumed: bool) {
        let Some(id) = self.running(node) else { return };
        let Some(mut boot) = self.boots[id].take() else { return };
        if !boot.left {
            let key = Key { user: user_hash(user), device: DeviceHash(device) };
            let client = (user * DEVICES + device) as usize;
            let token = self.clients[client].session.filter(|_| resumed).map(|(_, stamp)| stamp);
            let yielded = boot.sessions.get(&key).and_then(|session| session.superseded);
            if let Some(stamp) = self.claim(&mut boot, key, yielded.max(token)) {
                self.clients[client].session = Some((id, stamp));
            }
        }
        self.boots[id] = Some(boot);
    }

    fn claim(&mut self, boot: &mut Boot, key: Key, seen: Option<Stamp>) -> Option<Stamp> {
        let known = boot.replica.known(key.user);
        let wall_ms = self.wall_ms(boot.node);
        let Ok(claimed) = boot.replica.claim(key, wall_ms, seen, None, |_| {}) else {
            self.count("session: refused, because an older one stays");
            return None;
        };
        let stamp = claimed.stamp;
        self.history.claim(boot.id, boot.node, key, stamp);
        self.check_claim(boot, key, stamp, &known);
        self.check_own(boot);
        self.count("session: opened");
        let older = boot.sessions.insert(key, Session { stamp, superseded: None });
        if let Some(older) = older.filter(|older| older.superseded.is_none()) {
            let release = Event::Release { boot: boot.id, key, stamp: older.stamp };
            self.queue.put(self.now + limits::RELEASE_LINGER, release);
        }
        self.wrote(boot);
        self.supersede(boot, claimed.lost);
        for (device, owned) in claimed.displaced {
            let key = Key { device, ..key };
            let state = boot.overlay.members().find(|member| *member.name() == owned.owner);
            let state = state.map(|member| member.state());
            if matches!(state, Some(MemberState::Alive | MemberState::Unreachable)) {
                self.send(boot, index_of(&owned.owner), Message::Yield { key, stamp });
            }
        }
        Some(stamp)
    }

    /// A client goes.
    pub(super) fn close(&mut self, user: u64, device: u64) {
        let key = Key { user: user_hash(user), device: DeviceHash(device) };
        let Some((id, stamp)) = self.clients[(user * DEVICES + device) as usize].session else { return };
        let asleep = self.boots[id].as_deref().is_none_or(|boot| !self.is_awake(boot.node));
        if asleep {
            return;
        }
        let Some(mut boot) = self.boots[id].take() else { return };
        // One that was superseded is released later.
        if boot.sessions.get(&key).is_some_and(|held| held.stamp == stamp && held.superseded.is_none()) {
            self.release(&mut boot, key, stamp);
        }
        self.boots[id] = Some(boot);
    }

    /// A session is over: its claim is released.
    pub(super) fn release(&mut self, boot: &mut Boot, key: Key, stamp: Stamp) {
        let released = boot.replica.release(key, stamp);
        if released != self.history.release(boot.id, key, stamp) {
            let what = format!("{} released {key:?} with {stamp:?}: {released}", boot.name);
            self.fail("a node releases its own claim, by its stamp", what);
        }
        if boot.sessions.get(&key).is_some_and(|held| held.stamp == stamp) {
            boot.sessions.remove(&key);
        }
        if released {
            self.check_own(boot);
            self.wrote(boot);
        }
    }

    /// Sessions of a node lost against other claims.
    pub(super) fn supersede(&mut self, boot: &mut Boot, lost: Vec<Lost>) {
        for lost in lost {
            self.check_lost(boot, &lost);
            self.count("session: takeover lost");
            self.end_session(boot, lost.key, lost.stamp, lost.winner_stamp);
        }
    }

    fn end_session(&mut self, boot: &mut Boot, key: Key, stamp: Stamp, winner: Stamp) {
        let session = boot.sessions.get_mut(&key).filter(|held| held.stamp == stamp);
        let Some(session) = session.filter(|held| held.superseded.is_none()) else { return };
        session.superseded = Some(winner);
        let release = Event::Release { boot: boot.id, key, stamp };
        self.queue.put(self.now + limits::RELEASE_LINGER, release);
    }

    /// Another node has claimed a session that may be here.
    pub(super) fn yields(&mut self, boot: &mut Boot, owner: NodeIndex, key: Key, stamp: Stamp) {
        let Some(held) = boot.sessions.get(&key).map(|session| session.stamp) else { return };
        if (stamp, &self.names[owner]) > (held, &boot.name) {
            self.count("session: yielded");
            self.end_session(boot, key, held, stamp);
        }
    }
}
