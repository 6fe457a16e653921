//! Finds the live sessions of this node by key, and bounds how many there are.
//!
//! One session a key: a newer claim replaces the older session, which learns that it was
//! superseded. A session that is being closed stays findable until its connection is gone, so that
//! a push that still comes here is told where the session lives now.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::utils::CachePadded;

use crate::id::{NodeName, SessionKey};
use crate::key::Key;
use crate::session::{CloseReason, Session};

/// The node has as many sessions as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node has as many connections as it may have")]
pub(crate) struct Full;

/// The live sessions of this node.
pub(crate) struct Registry {
    me: NodeName,
    sessions_max: usize,
    open: CachePadded<AtomicUsize>,
    parked: Arc<AtomicUsize>,
    sessions: Box<[Mutex<Shard>]>,
}

type Shard = HashMap<Key, Arc<Session>>;

/// A session whose key another one took. It is to be [closed](Replaced::close): outside of any lock, because
/// whoever waits for its messages is answered then.
pub(crate) struct Replaced {
    session: Arc<Session>,
    reason: CloseReason,
}

impl Replaced {
    /// Closes it. Returns it, and whether it was not closing before.
    pub(crate) fn close(self) -> (Arc<Session>, bool) {
        let first = self.session.close(self.reason);
        (self.session, first)
    }
}

/// A place for one more connection; given back when dropped.
pub(crate) struct Permit(Arc<Registry>);

impl Registry {
    /// An empty registry of the node `me`.
    pub(crate) fn new(me: NodeName, sessions_max: usize) -> Self {
        let sessions = (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect();
        let open = CachePadded::new(AtomicUsize::new(0));
        Self { me, sessions_max, open, parked: Arc::default(), sessions }
    }

    /// How many clients may be connected at a time; as many sessions may be kept beside.
    pub(crate) fn connections_max(&self) -> usize {
        self.sessions_max
    }

    /// Reserves a place for one more connection.
    ///
    /// # Errors
    /// [`Full`].
    pub(crate) fn permit(self: &Arc<Self>) -> Result<Permit, Full> {
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| {
                (open < self.sessions_max).then_some(open + 1)
            })
            .map_err(|_| Full)?;
        Ok(Permit(Arc::clone(self)))
    }

    /// Reserves a place for one more session whose client is away: there are as many as for connections.
    pub(crate) fn park(&self) -> Option<ParkingPlace> {
        let places = |parked: usize| (parked < self.sessions_max).then_some(parked + 1);
        self.parked.fetch_update(Ordering::AcqRel, Ordering::Acquire, places).ok()?;
        Some(ParkingPlace(Arc::clone(&self.parked)))
    }

    /// Whether there is a place for one more session whose client is away.
    pub(crate) fn has_parking(&self) -> bool {
        self.parked() < self.sessions_max
    }

    /// Sessions whose client is away.
    pub(crate) fn parked(&self) -> usize {
        self.parked.load(Ordering::Acquire)
    }

    /// Connections open now.
    pub(crate) fn len(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Adds a session. An older one of the same key is superseded; should a newer one be there
    /// already, then the added one is. The one that is superseded is returned.
    pub(crate) fn insert(&self, session: &Arc<Session>) -> Option<Replaced> {
        let (session, stamp) = {
            let mut sessions = self.shard(session.key());
            match sessions.get(&session.key()) {
                Some(held) if held.stamp() > session.stamp() => Some((Arc::clone(session), held.stamp())),
                _ => {
                    sessions.insert(session.key(), Arc::clone(session)).map(|older| (older, session.stamp()))
                }
            }
        }?;
        Some(Replaced { session, reason: CloseReason::Superseded { owner: self.me.clone(), stamp } })
    }

    /// Removes a session whose connection is gone, unless another one took its key. Sessions are compared by identity,
    /// not by stamp: after a release the same stamp can be issued again.
    pub(crate) fn remove(&self, session: &Session) {
        let mut sessions = self.shard(session.key());
        if sessions.get(&session.key()).is_some_and(|held| std::ptr::eq(Arc::as_ptr(held), session)) {
            sessions.remove(&session.key());
        }
    }

    /// The session of a key.
    pub(crate) fn get(&self, key: Key) -> Option<Arc<Session>> {
        self.shard(key).get(&key).cloned()
    }

    /// The session of a key, if it has these names: a hash alone is not believed.
    pub(crate) fn get_named(&self, key: Key, names: &SessionKey) -> Option<Arc<Session>> {
        self.get(key).filter(|session| session.names() == names)
    }

    /// Whether a panic has left it half changed. It is usable for as long as a node takes to stop.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.sessions.iter().any(Mutex::is_poisoned)
    }

    /// All sessions, at about the same time.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.part(0, 1)
    }

    /// The sessions of one of so many parts. A key is always of the same part.
    pub(crate) fn part(&self, part: usize, parts: usize) -> Vec<Arc<Session>> {
        let mut sessions = Vec::with_capacity(self.len() / parts);
        for shard in self.sessions.iter().skip(part).step_by(parts) {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.extend(shard.values().cloned());
        }
        // The maps hash differently in every process; a fixed order keeps broadcasts reproducible.
        sessions.sort_unstable_by_key(|session| session.key());
        sessions
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        let shard = self.sessions[key.user.low as usize % SHARDS].lock();
        shard.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place for a session whose client is away; given back when dropped.
pub(crate) struct ParkingPlace(Arc<AtomicUsize>);

impl Drop for ParkingPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Guess: far more than cores, so that pushes rarely meet.
const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeviceId, Stamp, UserId};
    use crate::key::KeyHasher;
    use crate::session::OutboxLimits;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn session(stamp: u64) -> Arc<Session> {
        let names = SessionKey::new(UserId::new("u").unwrap(), DeviceId::new("d").unwrap());
        let key = KeyHasher::new(&[0; 32]).key(&names);
        let limits = OutboxLimits { messages_max: 1, bytes_max: 1 };
        Arc::new(Session::new(names, key, Stamp::from_raw(stamp), None, limits, None))
    }

    #[test]
    fn a_newer_session_supersedes_the_older_one_in_either_order_of_arrival() {
        for stamps in [[1, 2], [2, 1]] {
            let registry = Registry::new(name("a"), 9);
            let [first, second] = stamps.map(session);
            assert!(registry.insert(&first).is_none());
            registry.insert(&second).expect("one of them lost").close();
            let kept = registry.get(first.key()).unwrap();
            assert_eq!(kept.stamp(), Stamp::from_raw(2));
            assert_eq!(kept.closing(), None);
            let loser = if stamps[0] == 1 { first } else { second };
            assert!(matches!(loser.closing(), Some(CloseReason::Superseded { .. })));
        }
    }

    #[test]
    fn the_end_of_an_older_session_leaves_the_newer_one() {
        let registry = Registry::new(name("a"), 9);
        let [older, newer] = [1, 2].map(session);
        registry.insert(&older);
        registry.insert(&newer);
        registry.remove(&older);
        assert!(registry.get(newer.key()).is_some());
        registry.remove(&newer);
        assert!(registry.get(newer.key()).is_none());
    }

    #[test]
    fn the_end_of_a_session_leaves_another_one_with_the_same_stamp() {
        let registry = Registry::new(name("a"), 9);
        let [first, second] = [1, 1].map(session);
        registry.insert(&first);
        registry.insert(&second);
        registry.remove(&first);
        assert!(registry.get(second.key()).is_some_and(|held| Arc::ptr_eq(&held, &second)));
    }

    #[test]
    fn a_hash_without_its_names_finds_nothing() {
        let registry = Registry::new(name("a"), 9);
        let held = session(1);
        registry.insert(&held);
        assert!(registry.get_named(held.key(), held.names()).is_some());
        let other = SessionKey::new(UserId::new("v").unwrap(), DeviceId::new("d").unwrap());
        assert!(registry.get_named(held.key(), &other).is_none());
    }

    #[test]
    fn permits_bound_the_connections_and_come_back() {
        let registry = Arc::new(Registry::new(name("a"), 1));
        let permit = registry.permit().unwrap();
        assert!(registry.permit().is_err());
        drop(permit);
        assert!(registry.permit().is_ok());
    }
}
