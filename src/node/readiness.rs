//! When a starting node may say that it is ready: pure.
//!
//! It copies the section of every member that it saw while joining, from each owner, and is ready
//! once each copy has reached where its owner stood. So a ready node answers for every session that
//! was in the cluster when it came.
//!
//! | it hears | and its peers | it is ready |
//! |---|---|---|
//! | others | | when all sections that it heard of are here, at the latest after the join timeout |
//! | nobody | are none | at once: it is the first |
//! | nobody | may not be there (`--allow-alone`) | after [`JOIN_ALONE_AFTER`](limits::JOIN_ALONE_AFTER) |
//! | nobody | have to be there | after the join timeout: all of them may be dead |
//! | fewer than it expects | | not before there are as many, however long that takes |

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::Config;
use crate::id::NodeName;
use crate::limits;

/// Progress of a node that is joining.
#[derive(Debug)]
pub(crate) struct Readiness {
    terms: JoinTerms,
    missing: BTreeSet<NodeName>,
    synced: BTreeSet<NodeName>,
    /// The node has joined: nothing is waited for, and nothing remembered.
    ended: bool,
}

/// What a node waits for, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JoinTerms {
    /// Members that there have to be, itself included.
    pub(crate) expect: usize,
    /// When it is ready if it hears nobody.
    pub(crate) alone_after: Duration,
    /// When it is ready although sections are missing.
    pub(crate) timeout: Duration,
}

impl JoinTerms {
    /// Those of a configuration. `has_peers`: it names anybody to join.
    pub(crate) fn of(config: &Config, has_peers: bool) -> Self {
        let timeout = config.timers.join_timeout;
        let alone_after = match (has_peers, config.allow_alone) {
            (false, _) => Duration::ZERO,
            (true, true) => limits::JOIN_ALONE_AFTER.min(timeout),
            (true, false) => timeout,
        };
        Self { expect: config.expect, alone_after, timeout }
    }
}

/// Why a node is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ready {
    /// It has every section that it saw at its join.
    Complete,
    /// No peers are configured: it is the first.
    First,
    /// None of its peers answers.
    Alone,
    /// The time is up; these sections are missing.
    Incomplete(BTreeSet<NodeName>),
}

impl Readiness {
    /// Nobody was met.
    pub(crate) fn new(terms: JoinTerms) -> Self {
        Self { terms, missing: BTreeSet::new(), synced: BTreeSet::new(), ended: false }
    }

    /// A peer answered, and told of these members.
    pub(crate) fn met(&mut self, peer: &NodeName, members: impl IntoIterator<Item = NodeName>) {
        if self.ended {
            return;
        }
        let seen = members.into_iter().chain([peer.clone()]);
        self.missing.extend(seen.filter(|name| !self.synced.contains(name)));
    }

    /// The section of `owner` is complete.
    pub(crate) fn synced(&mut self, owner: &NodeName) {
        if !self.ended {
            self.missing.remove(owner);
            self.synced.insert(owner.clone());
        }
    }

    /// A member will not be heard of: it is dead, or it left.
    pub(crate) fn gone(&mut self, name: &NodeName) {
        self.missing.remove(name);
    }

    /// The node has joined, for good. Names come and go for as long as it runs: none is kept any more.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        (self.missing, self.synced) = Default::default();
    }

    /// The members whose sections are not here yet.
    pub(crate) fn missing(&self) -> &BTreeSet<NodeName> {
        &self.missing
    }

    /// Whether the node is ready, `now` after its start, while it hears so many others.
    pub(crate) fn check(&self, now: Duration, heard: usize) -> Option<Ready> {
        if self.lacks_members(heard) {
            return None;
        }
        if !self.missing.is_empty() {
            return (now >= self.terms.timeout).then(|| Ready::Incomplete(self.missing.clone()));
        }
        if heard > 0 {
            return Some(Ready::Complete);
        }
        match self.terms.alone_after {
            Duration::ZERO => Some(Ready::First),
            alone_after => (now >= alone_after).then_some(Ready::Alone),
        }
    }

    /// Whether a node that hears so many others waits for more of them alone, by now longer than an operator
    /// may know.
    pub(crate) fn waits_in_vain(&self, now: Duration, heard: usize) -> bool {
        self.lacks_members(heard) && now >= self.terms.timeout
    }

    fn lacks_members(&self, heard: usize) -> bool {
        heard.saturating_add(1) < self.terms.expect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    /// A node with peers.
    fn readiness(change: impl FnOnce(&mut Config)) -> Readiness {
        let mut config = Config::dev(name("n1"));
        change(&mut config);
        Readiness::new(JoinTerms::of(&config, true))
    }

    #[test]
    fn a_first_node_is_ready_at_once() {
        let terms = JoinTerms::of(&Config::dev(name("n1")), false);
        assert_eq!(Readiness::new(terms).check(Duration::ZERO, 0), Some(Ready::First));
    }

    #[test]
    fn a_node_whose_peers_are_silent_starts_alone_when_the_time_is_up_or_sooner_if_it_may() {
        let just_before = |at: Duration| at - Duration::from_millis(1);
        let waits = readiness(|_| {});
        assert_eq!(waits.check(just_before(TIMEOUT), 0), None);
        assert_eq!(waits.check(TIMEOUT, 0), Some(Ready::Alone));
        let may_be_alone = readiness(|config| config.allow_alone = true);
        assert_eq!(may_be_alone.check(just_before(limits::JOIN_ALONE_AFTER), 0), None);
        assert_eq!(may_be_alone.check(limits::JOIN_ALONE_AFTER, 0), Some(Ready::Alone));
        let hurries = readiness(|config| (config.allow_alone, config.timers.join_timeout) = (true, SECOND));
        assert_eq!(hurries.check(SECOND, 0), Some(Ready::Alone));
    }

    #[test]
    fn nodes_that_find_each_other_do_not_wait_for_any_time_to_pass() {
        let mut readiness = readiness(|_| {});
        readiness.met(&name("a"), []);
        readiness.synced(&name("a"));
        assert_eq!(readiness.check(Duration::ZERO, 1), Some(Ready::Complete));
    }

    #[test]
    fn a_node_that_has_lost_whom_it_met_is_alone_and_not_complete() {
        let mut readiness = readiness(|_| {});
        readiness.met(&name("a"), []);
        readiness.synced(&name("a"));
        assert_eq!(readiness.check(9 * SECOND, 0), None);
        assert_eq!(readiness.check(TIMEOUT, 0), Some(Ready::Alone));
    }

    #[test]
    fn a_node_that_expects_others_is_not_ready_without_them_however_long_it_waits() {
        let mut readiness = readiness(|config| config.expect = 3);
        readiness.met(&name("a"), []);
        readiness.synced(&name("a"));
        assert!(!readiness.waits_in_vain(TIMEOUT - SECOND, 1));
        for heard in [0, 1] {
            assert_eq!(readiness.check(1_000 * TIMEOUT, heard), None, "with {heard} others");
            assert!(readiness.waits_in_vain(TIMEOUT, heard), "and says so");
        }
        assert_eq!(readiness.check(SECOND, 2), Some(Ready::Complete));
        assert!(!readiness.waits_in_vain(TIMEOUT, 2));
        readiness.met(&name("b"), []);
        assert_eq!(readiness.check(SECOND, 2), None, "it is here, its section is not");
    }

    #[test]
    fn a_joining_node_waits_for_the_sections_of_all_members_it_heard_of() {
        let mut readiness = readiness(|_| {});
        readiness.met(&name("a"), [name("b")]);
        readiness.synced(&name("a"));
        assert_eq!(readiness.check(9 * SECOND, 1), None, "b is missing");
        readiness.met(&name("b"), [name("a")]);
        assert_eq!(readiness.check(9 * SECOND, 2), None, "b is linked and not copied");
        readiness.synced(&name("b"));
        assert_eq!(readiness.check(Duration::ZERO, 2), Some(Ready::Complete));
    }

    #[test]
    fn a_member_that_died_meanwhile_is_not_waited_for() {
        let mut readiness = readiness(|_| {});
        readiness.met(&name("a"), [name("b")]);
        readiness.synced(&name("a"));
        readiness.gone(&name("b"));
        assert_eq!(readiness.check(Duration::ZERO, 1), Some(Ready::Complete));
    }

    #[test]
    fn a_node_that_has_joined_remembers_nobody() {
        let mut readiness = readiness(|_| {});
        readiness.met(&name("a"), [name("b")]);
        readiness.synced(&name("a"));
        readiness.end();
        for number in 0..9 {
            readiness.met(&name(&format!("met{number}")), [name("told")]);
            readiness.synced(&name(&format!("synced{number}")));
        }
        assert_eq!((readiness.missing.len(), readiness.synced.len()), (0, 0));
    }

    #[test]
    fn the_wait_is_bounded_and_says_what_is_missing() {
        let mut readiness = readiness(|_| {});
        readiness.met(&name("a"), []);
        assert_eq!(readiness.check(TIMEOUT - SECOND, 1), None);
        for heard in [0, 1] {
            let missing = [name("a")].into();
            assert_eq!(readiness.check(TIMEOUT, heard), Some(Ready::Incomplete(missing)), "{heard}");
        }
    }
}
