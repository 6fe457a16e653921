//! Members that were hidden and are shown again: until when their sections may take to prove what is held
//! of them. It reads no clock: the time is given.
//!
//! What is held of a member that was away is what it claimed before. It may have let go since, and where
//! the clock of this node is behind, such a claim is greater than that of a client which came here
//! meanwhile. So in the directory it is unproven, and closes no session, before the member's section
//! has arrived. This is the clock for those whose section does not.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::membership::effect::Effect;
use crate::membership::overlay::Change;
use crate::replica::Replica;

/// The members whose claims are not proven yet, and until when that may take.
#[derive(Debug, Default)]
pub struct Returned(BTreeMap<NodeName, (Incarnation, Duration)>);

impl Returned {
    /// Lets the new state of a member take effect on what is held of it, as soon as the views of `replica` adopt it. Returns
    /// whether the member is back, so that its claims are to be proven.
    pub fn take_effect(&mut self, change: &Change, replica: &Replica, now: Duration) -> bool {
        let Change { name, incarnation, to, .. } = change;
        let effect = Effect::of(*to);
        let unproven = match effect {
            Effect::Show => replica.set_hidden(name, *incarnation, false),
            Effect::Hide => replica.set_hidden(name, *incarnation, true),
            Effect::Forget { over } => {
                replica.discard(name, *incarnation, over);
                false
            }
        };
        if unproven {
            self.shown(name, *incarnation, now);
        } else if effect != Effect::Show {
            self.hidden(name);
        }
        unproven
    }

    /// A member is shown again, at `now`.
    fn shown(&mut self, member: &NodeName, incarnation: Incarnation, now: Duration) {
        self.0.insert(member.clone(), (incarnation, now + limits::RETURN_BELIEVED_AFTER));
    }

    /// A member is hidden, or forgotten.
    fn hidden(&mut self, member: &NodeName) {
        self.0.remove(member);
    }

    /// Time has passed. Returns the members that are waited for no longer, with their boots; some are
    /// proven already.
    #[must_use]
    pub fn due(&mut self, now: Duration) -> Vec<(NodeName, Incarnation)> {
        let due: Vec<_> = (self.0.iter().filter(|(_, (_, until))| now >= *until))
            .map(|(member, (incarnation, _))| (member.clone(), *incarnation))
            .collect();
        due.iter().for_each(|(member, _)| _ = self.0.remove(member));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    #[test]
    fn a_member_that_returns_is_believed_after_a_while_once() {
        let mut returned = Returned::default();
        returned.shown(&name("a"), Incarnation(7), SECOND);
        returned.shown(&name("b"), Incarnation(1), 2 * SECOND);
        let until = SECOND + limits::RETURN_BELIEVED_AFTER;
        assert_eq!(returned.due(until - Duration::from_millis(1)), []);
        assert_eq!(returned.due(until), [(name("a"), Incarnation(7))]);
        assert_eq!(returned.due(until), []);
        assert_eq!(returned.due(until + SECOND), [(name("b"), Incarnation(1))]);
    }

    #[test]
    fn one_that_is_hidden_again_is_not_waited_for() {
        let mut returned = Returned::default();
        returned.shown(&name("a"), Incarnation(7), SECOND);
        returned.hidden(&name("a"));
        assert_eq!(returned.due(1_000 * SECOND), []);
    }
}
