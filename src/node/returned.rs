//! Members that were hidden and are shown again: their claims close no session before they are known to
//! be of today. Pure.
//!
//! What is held of a member that was away is what it claimed before. It may have let go since, and where
//! the clock of this node is behind, such a claim is greater than that of a client which came here
//! meanwhile. So nothing is closed for it until its section has arrived, or for some seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::directory::Lost;
use crate::id::NodeName;
use crate::limits;

/// The members whose claims are not believed yet, and until when.
#[derive(Debug, Default)]
pub(crate) struct Returned(BTreeMap<NodeName, Duration>);

impl Returned {
    /// A member is shown again, by which these sessions are lost. Returns those that are lost by others.
    pub(crate) fn shown(&mut self, member: &NodeName, lost: Vec<Lost>, now: Duration) -> Vec<Lost> {
        let (by_member, by_others): (Vec<_>, _) = lost.into_iter().partition(|lost| lost.winner == *member);
        if !by_member.is_empty() {
            self.0.insert(member.clone(), now + limits::RETURN_BELIEVED_AFTER);
        }
        by_others
    }

    /// A member is hidden, or forgotten.
    pub(crate) fn hidden(&mut self, member: &NodeName) {
        self.0.remove(member);
    }

    /// The copy of a member's section is complete. Returns whether the sessions have to be looked at.
    #[must_use]
    pub(crate) fn synced(&mut self, member: &NodeName) -> bool {
        self.0.remove(member).is_some()
    }

    /// Time has passed. Returns whether the sessions have to be looked at, because a section did not
    /// arrive in time.
    #[must_use]
    pub(crate) fn due(&mut self, now: Duration) -> bool {
        let before = self.0.len();
        self.0.retain(|_, until| now < *until);
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Stamp;
    use crate::key::{DeviceHash, Key, UserHash};

    const SECOND: Duration = Duration::from_secs(1);

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn lost_by(winner: &str) -> Lost {
        let key = Key { user: UserHash { low: 1, high: 2 }, device: DeviceHash(1) };
        let (stamp, winner_stamp) = (Stamp::from_raw(1), Stamp::from_raw(2));
        Lost { key, stamp, winner: name(winner), winner_stamp, excluded: false }
    }

    #[test]
    fn the_claims_of_a_member_that_returns_wait_for_its_section_and_others_do_not() {
        let mut returned = Returned::default();
        let at_once = returned.shown(&name("a"), vec![lost_by("a"), lost_by("b")], SECOND);
        assert_eq!(at_once, [lost_by("b")]);
        assert!(!returned.synced(&name("b")));
        assert!(returned.synced(&name("a")));
        assert!(!returned.synced(&name("a")), "once");
        assert!(!returned.due(1_000 * SECOND));
    }

    #[test]
    fn they_do_not_wait_for_ever() {
        let mut returned = Returned::default();
        returned.shown(&name("a"), vec![lost_by("a")], SECOND);
        let until = SECOND + limits::RETURN_BELIEVED_AFTER;
        assert!(!returned.due(until - Duration::from_millis(1)));
        assert!(returned.due(until));
        assert!(!returned.due(until), "once");
    }

    #[test]
    fn one_that_is_hidden_again_is_not_waited_for() {
        let mut returned = Returned::default();
        returned.shown(&name("a"), vec![lost_by("a")], SECOND);
        returned.hidden(&name("a"));
        assert!(!returned.synced(&name("a")));
        assert!(!returned.due(1_000 * SECOND));
        assert_eq!(returned.shown(&name("a"), Vec::new(), SECOND), []);
        assert!(!returned.synced(&name("a")), "it took nothing away");
    }
}
