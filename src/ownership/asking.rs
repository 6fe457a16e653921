//! The questions of one machine that are not answered yet, and whom they lead to next.
//!
//! Who lets go of a session may have had to let go of it before, for a third node, and names that one: the directory may
//! be behind by more than one takeover. So a question to let go follows the session from owner to owner.

use std::collections::BTreeMap;

use crate::id::NodeName;
use crate::limits;
use crate::ownership::question::{Answer, Ask, Question};

/// Questions that wait for their answers.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    me: NodeName,
    number: u64,
    asked: BTreeMap<u64, Asked>,
}

#[derive(Debug, Clone)]
struct Asked {
    owner: NodeName,
    question: Question,
    /// How often the session was followed.
    hops: u8,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nobody waits for it.
    Stale,
    /// The session is followed to its next owner.
    Next(Ask),
    /// The question is answered.
    Answered,
}

impl Asking {
    /// The node `me` has asked nothing yet.
    pub(super) fn new(me: NodeName) -> Self {
        Self { me, number: 0, asked: BTreeMap::new() }
    }

    /// The node that asks.
    pub(super) fn me(&self) -> &NodeName {
        &self.me
    }

    /// Asks a node. `None`: there is nothing to ask, because the session that is to end is this node's own.
    pub(super) fn ask(&mut self, owner: NodeName, question: Question) -> Option<Ask> {
        self.send(Asked { owner, question, hops: 0 })
    }

    /// An answer arrived.
    pub(super) fn answered(&mut self, number: u64, answer: &Answer) -> Heard {
        let Some(asked) = self.asked.remove(&number) else { return Heard::Stale };
        let next = match (answer, asked.question) {
            (Answer::Moved { owner, .. }, Question::Yield { .. }) if *owner != asked.owner => owner.clone(),
            _ => return Heard::Answered,
        };
        if asked.hops == limits::HOPS_MAX {
            return Heard::Answered;
        }
        let next = Asked { owner: next, hops: asked.hops + 1, ..asked };
        self.send(next).map_or(Heard::Answered, Heard::Next)
    }

    /// Whether no question waits for its answer.
    pub(super) fn is_done(&self) -> bool {
        self.asked.is_empty()
    }

    /// Nobody waits any more.
    pub(super) fn give_up(&mut self) {
        self.asked.clear();
    }

    fn send(&mut self, asked: Asked) -> Option<Ask> {
        if asked.owner == self.me && matches!(asked.question, Question::Yield { .. }) {
            return None;
        }
        self.number += 1;
        let ask = Ask { number: self.number, owner: asked.owner.clone(), question: asked.question };
        self.asked.insert(self.number, asked);
        Some(ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Rival;
    use crate::id::Stamp;
    use crate::key::DeviceHash;

    const YIELD: Question =
        Question::Yield { device: DeviceHash(1), below: Stamp::ZERO, rival: Rival::SameDevice };

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn moved(owner: &str) -> Answer {
        Answer::Moved { owner: name(owner), stamp: Stamp::ZERO }
    }

    /// Whom the answer leads to.
    fn next(asking: &mut Asking, number: u64, answer: &Answer) -> Option<(u64, String)> {
        match asking.answered(number, answer) {
            Heard::Next(ask) => Some((ask.number, ask.owner.to_string())),
            Heard::Answered | Heard::Stale => None,
        }
    }

    #[test]
    fn a_session_that_is_to_end_is_followed_from_owner_to_owner_and_not_for_ever() {
        let mut asking = Asking::new(name("me"));
        assert_eq!(asking.ask(name("b"), YIELD).unwrap().number, 1);
        for hop in 0..u64::from(limits::HOPS_MAX) {
            let to = if hop % 2 == 0 { "c" } else { "b" };
            assert_eq!(next(&mut asking, 1 + hop, &moved(to)), Some((2 + hop, to.to_owned())));
        }
        assert_eq!(next(&mut asking, 1 + u64::from(limits::HOPS_MAX), &moved("d")), None);
        assert!(asking.is_done());
    }

    #[test]
    fn nobody_asks_itself_to_let_go_or_the_same_node_again() {
        let mut asking = Asking::new(name("me"));
        assert_eq!(asking.ask(name("me"), YIELD), None);
        for answer in [moved("me"), moved("b"), Answer::Yes, Answer::No, Answer::Silent] {
            let number = asking.ask(name("b"), YIELD).unwrap().number;
            assert_eq!(next(&mut asking, number, &answer), None, "{answer:?}");
            assert!(asking.is_done());
        }
    }

    #[test]
    fn a_session_that_is_asked_for_is_not_followed() {
        let mut asking = Asking::new(name("me"));
        let confirm = Question::Confirm { device: DeviceHash(1), stamp: Stamp::ZERO };
        let number = asking.ask(name("me"), confirm).expect("it may be this node's own").number;
        assert_eq!(asking.answered(number, &moved("c")), Heard::Answered);
    }

    #[test]
    fn an_answer_that_nobody_waits_for_says_nothing() {
        let mut asking = Asking::new(name("me"));
        let number = asking.ask(name("b"), YIELD).unwrap().number;
        asking.give_up();
        assert_eq!(asking.answered(number, &moved("c")), Heard::Stale);
        let number = asking.ask(name("b"), YIELD).unwrap().number;
        assert_eq!(asking.answered(number - 1, &moved("c")), Heard::Stale);
        assert!(!asking.is_done());
    }
}
