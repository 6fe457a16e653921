//! The takeovers that are not over, and what they are told.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::mpsc;

use crate::copies::group::group_of;
use crate::id::Stamp;
use crate::key::Key;
use crate::position::{Position, Segment};
use crate::quorum::{Boot, Config, SealAnswer};
use crate::session::Copied;

/// The takeovers of a node that are not over, by their sessions: each with the stamp of its claim.
#[derive(Default)]
pub(super) struct Takeovers(Mutex<BTreeMap<Key, (Stamp, mpsc::Sender<Event>)>>);

/// What a takeover is told.
#[derive(Debug)]
pub(super) enum Event {
    /// A boot has answered as a member of a group.
    Answered {
        /// Whose group.
        group: Boot,
        /// Who has answered.
        from: Boot,
        /// What.
        answer: SealAnswer<Copied>,
    },
    /// The members of a group are others from now on.
    Announced {
        /// Whose group.
        group: Boot,
        /// They.
        config: Config,
    },
    /// Members of the own group have a message.
    Stored(Position),
    /// Its client is told of the session.
    Opened(Earlier),
    /// They know what the session follows.
    Followed,
    /// The client has everything of that segment up to there.
    Trimmed(Position),
    /// A later claim of this node has begun to take the session over: it finds all that this one would.
    Replaced,
}

/// The segments of a session before the one that takes it over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Earlier {
    /// All that are known.
    pub(crate) all: Vec<Segment>,
    /// Those whose owners have not said themselves what they owe.
    pub(crate) silent: Vec<Segment>,
}

impl Earlier {
    /// Of which nothing is missing once all of it is taken over that others hold. `taken`: there was something. An owner that says
    /// that it owes nothing is believed otherwise.
    pub(crate) fn sealed(&self, taken: bool) -> &[Segment] {
        if taken { &self.all } else { &self.silent }
    }
}

impl Takeovers {
    /// One begins. The one before of that session is told that, and nothing more.
    pub(super) fn begin(&self, key: Key, claim: Stamp, events: mpsc::Sender<Event>) {
        let before = self.lock().insert(key, (claim, events));
        if let Some((_, events)) = before {
            // One that is told too much looks by itself.
            let _ = events.try_send(Event::Replaced);
        }
    }

    /// One is over.
    pub(super) fn end(&self, key: Key, claim: Stamp) {
        let mut takeovers = self.lock();
        if takeovers.get(&key).is_some_and(|(of, _)| *of == claim) {
            takeovers.remove(&key);
        }
    }

    /// Whether that of this claim has neither ended nor been replaced.
    pub(super) fn is_current(&self, key: Key, claim: Stamp) -> bool {
        self.lock().get(&key).is_some_and(|(of, _)| *of == claim)
    }

    /// Whether that of a session has not ended.
    pub(super) fn is_under_way(&self, key: Key) -> bool {
        self.lock().contains_key(&key)
    }

    /// Tells one something, if it is not over. `claim`: only that of this claim.
    pub(super) fn tell(&self, key: Key, claim: Option<Stamp>, event: Event) {
        let takeovers = self.lock();
        let of = takeovers.get(&key).filter(|(of, _)| claim.is_none_or(|claim| claim == *of));
        if let Some((_, events)) = of {
            // One that is told more than any session holds asks again.
            let _ = events.try_send(event);
        }
    }

    /// Tells all of sessions in that group of `owner`, whose members are others.
    pub(super) fn announce(&self, owner: &Boot, group: u8, config: &Config) {
        for (_, (_, events)) in self.lock().iter().filter(|(key, _)| group_of(**key) == group) {
            let _ = events.try_send(Event::Announced { group: owner.clone(), config: config.clone() });
        }
    }

    /// Whether a panic has left it half changed.
    pub(super) fn is_poisoned(&self) -> bool {
        self.0.is_poisoned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, (Stamp, mpsc::Sender<Event>)>> {
        self.0.lock().expect("no panic happens under this lock")
    }
}
