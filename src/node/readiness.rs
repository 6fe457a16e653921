//! When a starting node may say that it is ready: pure.
//!
//! It copies the section of every member that it saw while joining, from each owner, and is ready
//! once each copy has reached where its owner stood. So a ready node answers for every session that
//! was in the cluster when it came. A node that reaches nobody starts alone, because somebody has to
//! be the first; one that can not complete is ready after a bound, and says so.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::id::NodeName;
use crate::limits;

/// Progress of a node that is joining.
#[derive(Debug)]
pub(crate) struct Readiness {
    has_peers: bool,
    met: bool,
    missing: BTreeSet<NodeName>,
    synced: BTreeSet<NodeName>,
}

/// Why a node is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ready {
    /// It has every section that it saw at its join.
    Complete,
    /// No peers are configured, or none of them answers.
    Alone,
    /// The time is up; these sections are missing.
    Incomplete(BTreeSet<NodeName>),
}

impl Readiness {
    /// `has_peers`: whether the node was given anybody to join.
    pub(crate) fn new(has_peers: bool) -> Self {
        Self { has_peers, met: false, missing: BTreeSet::new(), synced: BTreeSet::new() }
    }

    /// A peer answered, and told of these members.
    pub(crate) fn met(&mut self, peer: &NodeName, members: impl IntoIterator<Item = NodeName>) {
        self.met = true;
        let seen = members.into_iter().chain([peer.clone()]);
        self.missing.extend(seen.filter(|name| !self.synced.contains(name)));
    }

    /// The section of `owner` is complete.
    pub(crate) fn synced(&mut self, owner: &NodeName) {
        self.missing.remove(owner);
        self.synced.insert(owner.clone());
    }

    /// A member will not be heard of: it is dead, or it left.
    pub(crate) fn gone(&mut self, name: &NodeName) {
        self.missing.remove(name);
    }

    /// The members whose sections are not here yet.
    pub(crate) fn missing(&self) -> &BTreeSet<NodeName> {
        &self.missing
    }

    /// Whether the node is ready, `now` after its start.
    pub(crate) fn check(&self, now: Duration) -> Option<Ready> {
        if !self.met {
            return (!self.has_peers || now >= limits::JOIN_ALONE_AFTER).then_some(Ready::Alone);
        }
        if self.missing.is_empty() {
            return Some(Ready::Complete);
        }
        (now >= limits::JOIN_READY_AFTER).then(|| Ready::Incomplete(self.missing.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    #[test]
    fn a_first_node_is_ready_at_once() {
        assert_eq!(Readiness::new(false).check(Duration::ZERO), Some(Ready::Alone));
    }

    #[test]
    fn a_node_whose_peers_are_silent_starts_alone() {
        let readiness = Readiness::new(true);
        assert_eq!(readiness.check(limits::JOIN_ALONE_AFTER - Duration::from_millis(1)), None);
        assert_eq!(readiness.check(limits::JOIN_ALONE_AFTER), Some(Ready::Alone));
    }

    #[test]
    fn a_joining_node_waits_for_the_sections_of_all_members_it_heard_of() {
        let mut readiness = Readiness::new(true);
        readiness.met(&name("a"), [name("b")]);
        readiness.synced(&name("a"));
        assert_eq!(readiness.check(Duration::from_secs(9)), None, "b is missing");
        readiness.met(&name("b"), [name("a")]);
        assert_eq!(readiness.check(Duration::from_secs(9)), None, "b is linked and not copied");
        readiness.synced(&name("b"));
        assert_eq!(readiness.check(Duration::ZERO), Some(Ready::Complete));
    }

    #[test]
    fn a_member_that_died_meanwhile_is_not_waited_for() {
        let mut readiness = Readiness::new(true);
        readiness.met(&name("a"), [name("b")]);
        readiness.synced(&name("a"));
        readiness.gone(&name("b"));
        assert_eq!(readiness.check(Duration::ZERO), Some(Ready::Complete));
    }

    #[test]
    fn the_wait_is_bounded_and_says_what_is_missing() {
        let mut readiness = Readiness::new(true);
        readiness.met(&name("a"), []);
        assert_eq!(readiness.check(limits::JOIN_READY_AFTER), Some(Ready::Incomplete([name("a")].into())));
    }
}
