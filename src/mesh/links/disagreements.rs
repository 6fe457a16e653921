//! The peers that are members by their keys and are not linked, because their settings differ.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::id::NodeName;
use crate::limits;

/// Whom this node could not be linked with, why, and when that was last found.
#[derive(Debug, Default)]
pub(super) struct Disagreements(Mutex<BTreeMap<NodeName, Found>>);

#[derive(Debug)]
struct Found {
    why: String,
    at: Instant,
    logged: Instant,
}

impl Disagreements {
    /// Notes one. `true` when it is worth a line of the log.
    pub(super) fn told(&self, peer: &NodeName, why: &str, now: Instant) -> bool {
        let mut found = self.0.lock().expect(NOT_POISONED);
        found.retain(|_, found| now.saturating_duration_since(found.at) < FORGOTTEN_AFTER);
        if let Some(found) = found.get_mut(peer) {
            found.at = now;
            let due = found.why != why || now.saturating_duration_since(found.logged) >= LOGGED_EVERY;
            if due {
                (found.why, found.logged) = (why.to_owned(), now);
            }
            return due;
        }
        if found.len() < limits::PEERS_MAX {
            found.insert(peer.clone(), Found { why: why.to_owned(), at: now, logged: now });
        }
        true
    }

    /// A link to the peer is up.
    pub(super) fn over(&self, peer: &NodeName) {
        self.0.lock().expect(NOT_POISONED).remove(peer);
    }

    /// Those that were found lately, each with why.
    pub(super) fn all(&self, now: Instant) -> Vec<(NodeName, String)> {
        let found = self.0.lock().expect(NOT_POISONED);
        let fresh = found.iter().filter(|(_, found)| now.saturating_duration_since(found.at) < FRESH);
        fresh.map(|(peer, found)| (peer.clone(), found.why.clone())).collect()
    }
}

/// One that is there still was dialled within this time, or has dialled.
const FRESH: Duration = Duration::from_secs(3 * limits::DISAGREED_RETRY.as_secs());
/// Guess: an operator who looks at the log sees it, and the log stays readable.
const LOGGED_EVERY: Duration = Duration::from_secs(60);
/// See [`LOGGED_EVERY`]: what is kept for it.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2 * LOGGED_EVERY.as_secs());
const NOT_POISONED: &str = "no panic happens under this lock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_comes_again_and_again_has_a_line_a_minute_and_one_for_each_new_reason() {
        let (start, peer) = (Instant::now(), NodeName::new("n2").unwrap());
        let found = Disagreements::default();
        let told = |why, seconds| found.told(&peer, why, start + Duration::from_secs(seconds));
        assert_eq!(
            [told("a", 0), told("a", 10), told("b", 20), told("b", 70), told("b", 80)],
            [true, false, true, false, true]
        );
        let now = start + Duration::from_secs(80);
        assert_eq!(found.all(now), [(peer.clone(), "b".to_owned())]);
        assert_eq!(found.all(now + FRESH), []);
        found.over(&peer);
        assert_eq!(found.all(now), []);
    }
}
