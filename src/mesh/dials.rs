//! What is known of the addresses that a node dials: one dial at a time for each, with pauses that double.
//!
//! It decides and does not dial: the time, since any beginning, and the share of the jitter come in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::id::NodeName;
use crate::limits;

/// The addresses, at most [`limits::PEERS_MAX`] of them.
#[derive(Debug, Default)]
pub struct Dials(HashMap<SocketAddr, Dial>);

/// What is known of an address.
#[derive(Debug)]
struct Dial {
    busy: bool,
    failures: u32,
    not_before: Duration,
    /// Who answered there last.
    name: Option<NodeName>,
}

impl Dials {
    /// Whether `addr` is to be dialled now; it counts as being dialled then, until it has [ended](Self::ended).
    pub fn begin(&mut self, addr: SocketAddr, now: Duration) -> bool {
        if !self.0.contains_key(&addr) && self.0.len() >= limits::PEERS_MAX {
            // Addresses of nodes that are gone must not keep new ones out.
            let idle = self.0.iter().filter(|(_, dial)| !dial.busy).min_by_key(|(_, dial)| dial.not_before);
            let Some(idle) = idle.map(|(addr, _)| *addr) else { return false };
            self.0.remove(&idle);
        }
        let new = Dial { busy: false, failures: 0, not_before: now, name: None };
        let dial = self.0.entry(addr).or_insert(new);
        let begins = !dial.busy && now >= dial.not_before;
        dial.busy |= begins;
        begins
    }

    /// A dial has reached `name`, or nobody. It is not repeated before `again` is over. `share` is the part of the pause
    /// that is waited, see [`JITTER`].
    ///
    /// # Panics
    /// If it has not [begun](Self::begin).
    pub fn ended(
        &mut self,
        addr: SocketAddr,
        name: Option<NodeName>,
        again: Duration,
        share: u64,
        now: Duration,
    ) {
        let dial = self.0.get_mut(&addr).expect("an address that is dialled is noted");
        dial.busy = false;
        dial.failures = if name.is_some() { 0 } else { dial.failures.saturating_add(1) };
        dial.not_before = now + again.max(jittered(backoff(dial.failures), share));
        dial.name = name.or(dial.name.take());
    }

    /// Whose address it was when it was last dialled.
    pub(crate) fn name_at(&self, addr: SocketAddr) -> Option<NodeName> {
        self.0.get(&addr).and_then(|dial| dial.name.clone())
    }

    /// How many are known.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A part of a pause, in thousandths.
fn jittered(pause: Duration, thousandths: u64) -> Duration {
    let thousandths = u32::try_from(thousandths).unwrap_or(u32::MAX);
    pause.saturating_mul(thousandths) / 1_000
}

/// The pause behind so many failures in a row: it doubles up to its bound.
#[must_use]
fn backoff(failures: u32) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let doubled = limits::DIAL_BACKOFF_MIN.saturating_mul(1 << failures.min(10).saturating_sub(1));
    doubled.min(limits::DIAL_BACKOFF_MAX)
}

/// A pause between dials is this share of the one that is due, in thousandths, drawn anew each time: nodes that lost the
/// same peer at the same moment do not dial it in step. Source: half of it stays, so that pauses still double; the bound
/// of the longest one stays too.
pub const JITTER: (u64, u64) = (500, 1_000);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::wire::Entropy;

    #[test]
    fn an_address_is_dialled_by_one_at_a_time_and_not_again_before_its_pause() {
        let (mut dials, now) = (Dials::default(), Duration::from_secs(7));
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(dials.begin(addr, now) && !dials.begin(addr, now), "it is being dialled");
        dials.ended(addr, None, Duration::ZERO, JITTER.1, now);
        assert!(!dials.begin(addr, now) && dials.begin(addr, now + limits::DIAL_BACKOFF_MIN));
        dials.ended(addr, NodeName::new("n2").ok(), Duration::ZERO, JITTER.1, now);
        assert!(dials.begin(addr, now), "it answered");
        assert_eq!(dials.name_at(addr), NodeName::new("n2").ok());
        dials.ended(addr, None, limits::DISAGREED_RETRY, JITTER.1, now);
        assert!(!dials.begin(addr, now + limits::DIAL_BACKOFF_MIN), "it disagreed");
        assert_eq!(dials.name_at(addr), NodeName::new("n2").ok(), "it is remembered");
    }

    #[test]
    fn addresses_of_nodes_that_are_gone_make_room_and_those_being_dialled_do_not() {
        let (mut dials, now) = (Dials::default(), Duration::from_secs(7));
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let all = u16::try_from(limits::PEERS_MAX).unwrap();
        assert!((0..all).all(|port| dials.begin(addr(port), now)));
        assert!(!dials.begin(addr(all), now), "all are being dialled");
        dials.ended(addr(7), None, Duration::ZERO, JITTER.1, now);
        assert!(dials.begin(addr(all), now));
        assert_eq!(dials.len(), limits::PEERS_MAX);
        assert!(!dials.begin(addr(7), now), "there is no room any more");
    }

    #[test]
    fn the_pause_between_dials_doubles_up_to_its_bound() {
        assert_eq!(backoff(0), Duration::ZERO);
        assert_eq!(backoff(1), limits::DIAL_BACKOFF_MIN);
        assert_eq!(backoff(2), 2 * limits::DIAL_BACKOFF_MIN);
        assert_eq!(backoff(u32::MAX), limits::DIAL_BACKOFF_MAX);
    }

    #[test]
    fn pauses_between_dials_differ_and_stay_within_their_bound() {
        let entropy = Entropy::new([1; 32]);
        let pauses: BTreeSet<_> =
            (0..100).map(|_| jittered(backoff(9), entropy.between(JITTER.0, JITTER.1))).collect();
        assert!(pauses.len() > 50, "nodes that began together would dial in step: {pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= limits::DIAL_BACKOFF_MAX));
        assert!(pauses.iter().all(|pause| *pause >= limits::DIAL_BACKOFF_MAX / 2));
    }
}
