//! Peers that were cut off again and again, and are let in no more for a while.
//!
//! Once may be bad luck: the next link begins at once. One that goes on would cost a handshake, a subscription and lines
//! of the log with each link.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use tokio::time::Instant;

use crate::id::NodeName;
use crate::limits;

/// When peers were cut off lately, by name.
#[derive(Debug, Default)]
pub(crate) struct Offenders(Mutex<BTreeMap<NodeName, VecDeque<Instant>>>);

impl Offenders {
    /// A peer was cut off.
    pub(crate) fn note(&self, peer: &NodeName, now: Instant) {
        let mut offenders = self.0.lock().expect(NOT_POISONED);
        offenders.retain(|_, times| {
            times.retain(|at| now.saturating_duration_since(*at) < limits::OFFENCES_WITHIN);
            !times.is_empty()
        });
        if offenders.len() >= limits::PEERS_MAX && !offenders.contains_key(peer) {
            return;
        }
        let times = offenders.entry(peer.clone()).or_default();
        times.push_back(now);
        if times.len() > limits::OFFENCES_MAX {
            times.pop_front();
        }
    }

    /// Whether a peer is not to be linked now.
    pub(crate) fn barred(&self, peer: &NodeName, now: Instant) -> bool {
        let offenders = self.0.lock().expect(NOT_POISONED);
        let Some(times) = offenders.get(peer) else { return false };
        let recent = times.iter().filter(|at| now.saturating_duration_since(**at) < limits::OFFENCES_WITHIN);
        recent.count() >= limits::OFFENCES_MAX
    }
}

const NOT_POISONED: &str = "no panic happens under this lock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_barred_after_some_offences_and_let_in_again_later() {
        let (offenders, now) = (Offenders::default(), Instant::now());
        let [evil, other] = ["evil", "other"].map(|text| NodeName::new(text).unwrap());
        for offence in 1..=2 * limits::OFFENCES_MAX {
            offenders.note(&evil, now);
            assert_eq!(offenders.barred(&evil, now), offence >= limits::OFFENCES_MAX, "after {offence}");
        }
        assert!(!offenders.barred(&other, now));
        assert!(!offenders.barred(&evil, now + limits::OFFENCES_WITHIN));
        offenders.note(&other, now + limits::OFFENCES_WITHIN);
        assert_eq!(offenders.0.lock().unwrap().len(), 1, "what is over is forgotten");
    }
}
