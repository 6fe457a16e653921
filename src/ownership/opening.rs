//! How a client becomes the session of its key at this node.
//!
//! ```text
//!   begin ─┬─ nothing in its way ─────────────────────────────────────► Claim ──► Yield, to whom it excludes ──► Open
//!          ├─ its own earlier session ──► Yield, to its owner ──────────►┤
//!          ├─ one that it may succeed ──► Confirm, to its owner ─┬─ no ─►┘
//!          │                                                    └─ yes ─► Refuse
//!          └─ any other ───────────────────────────────────────────────► Refuse
//! ```
//!
//! The claim comes before the client is told that it is connected, so that a push that follows the client's own knowledge
//! finds it. The previous owner answers once nothing is delivered at the old connection any more. Should it not answer in
//! time the claim stands all the same: the stamp decides. Where the client's policy keeps nobody waiting at the door, it
//! is claimed at once.

use crate::config::Takeover;
use crate::directory::policy::{self, Claiming, Door, Holding};
use crate::directory::{Owned, Rival};
use crate::id::{NodeName, Stamp};
use crate::key::DeviceHash;
use crate::ownership::asking::{Asking, Heard};
use crate::ownership::question::{Answer, Ask, Question};
use crate::ownership::timer::Timer;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Wait no longer than that for answers, from now: [`Opening::elapsed`]. The timer before stops.
    Start(Timer),
    /// Ask an owner: [`Opening::answered`].
    Ask(Ask),
    /// Claim the key and register the session: [`Opening::claimed`], or the client is refused.
    Claim {
        /// Claims below this stamp do not stand against the client.
        below: Option<Stamp>,
    },
    /// The client is refused: an earlier session stays.
    Refuse,
    /// The client is the session.
    Open {
        /// Not all answered in time.
        late: bool,
    },
}

/// A client that is about to be the session of its key.
#[derive(Debug, Clone)]
pub struct Opening {
    takeover: Takeover,
    device: DeviceHash,
    resumed: Option<Stamp>,
    asking: Asking,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is asked.
    Rests,
    /// The owner of its own earlier session is asked to end it; then it is claimed.
    Ends { below: Stamp },
    /// The owner of the session that is shown is asked whether it has it; if not, it is claimed.
    Doubts { below: Stamp },
    /// It is claimed, and those whom that excludes are asked to let go.
    Yields,
}

impl Opening {
    /// A client of `device` at the node `me`. `resumed` is the stamp of the session that it has proven to be its own.
    #[must_use]
    pub fn new(me: NodeName, takeover: Takeover, device: DeviceHash, resumed: Option<Stamp>) -> Self {
        Self { takeover, device, resumed, asking: Asking::new(me), state: State::Rests }
    }

    /// What to do first, where the directory shows that owner of the key.
    #[must_use]
    pub fn begin(&mut self, shown: Option<&Owned>) -> Vec<Effect> {
        let door = policy::door(self.takeover, shown, self.resumed);
        let (state, question, held) = match (door, shown) {
            (Door::Own { below }, Some(held)) => {
                let question = Question::Yield { device: self.device, below, rival: Rival::SameDevice };
                (State::Ends { below }, question, held)
            }
            (Door::Doubtful { below }, Some(held)) => {
                let question = Question::Confirm { device: self.device, stamp: held.stamp };
                (State::Doubts { below }, question, held)
            }
            (Door::Shut, _) => return vec![Effect::Refuse],
            (Door::Open, _) | (_, None) => return vec![Effect::Claim { below: None }],
        };
        self.state = state;
        match self.asking.ask(held.owner.clone(), question) {
            Some(ask) => vec![Effect::Start(Timer::Takeover), Effect::Ask(ask)],
            None => self.go_on(false),
        }
    }

    /// It is claimed with `stamp`. The claim excludes the sessions `displaced` of other nodes. `yielded`: to whom the last
    /// session of the key at this node had to yield, perhaps before the directory shows it.
    #[must_use]
    pub fn claimed(
        &mut self,
        stamp: Stamp,
        displaced: Vec<(DeviceHash, Owned)>,
        yielded: Option<&(NodeName, Stamp)>,
    ) -> Vec<Effect> {
        let (me, device, resumed) = (self.asking.me(), self.device, self.resumed);
        let claiming = Claiming { me, device, stamp, resumed, yielded };
        let asked = policy::asked_after(self.takeover, claiming, displaced).into_iter();
        let asked = asked.filter_map(|Holding { owner, device, below, rival }| {
            self.asking.ask(owner, Question::Yield { device, below, rival })
        });
        let asked: Vec<_> = asked.map(Effect::Ask).collect();
        if asked.is_empty() {
            return vec![Effect::Open { late: false }];
        }
        self.state = State::Yields;
        std::iter::once(Effect::Start(Timer::Takeover)).chain(asked).collect()
    }

    /// An owner has answered.
    #[must_use]
    pub fn answered(&mut self, number: u64, answer: &Answer) -> Vec<Effect> {
        match (self.asking.answered(number, answer), self.state) {
            (Heard::Stale, _) => Vec::new(),
            (Heard::Next(ask), _) => vec![Effect::Ask(ask)],
            (Heard::Answered, State::Doubts { .. }) if *answer == Answer::Yes => self.rest(Effect::Refuse),
            (Heard::Answered, _) if self.asking.is_done() => self.go_on(false),
            (Heard::Answered, _) => Vec::new(),
        }
    }

    /// The timer has elapsed. What was asked at the door is known without an answer, too: the earlier session is of the
    /// same client, and who does not answer has no session.
    #[must_use]
    pub fn elapsed(&mut self) -> Vec<Effect> {
        self.asking.give_up();
        self.go_on(true)
    }

    fn go_on(&mut self, late: bool) -> Vec<Effect> {
        match self.state {
            State::Rests => Vec::new(),
            State::Ends { below } | State::Doubts { below } => {
                self.rest(Effect::Claim { below: Some(below) })
            }
            State::Yields => self.rest(Effect::Open { late }),
        }
    }

    fn rest(&mut self, effect: Effect) -> Vec<Effect> {
        self.state = State::Rests;
        vec![effect]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ownership::tests::*;

    const WAITS: Effect = Effect::Start(Timer::Takeover);

    fn opening(takeover: Takeover, resumed: Option<u64>) -> Opening {
        Opening::new(name("me"), takeover, DEVICE, resumed.map(stamp))
    }

    fn asks_to_yield(number: u64, owner: &str, below: u64) -> Effect {
        Effect::Ask(to_yield(number, owner, below))
    }

    fn claims(below: Option<u64>) -> [Effect; 1] {
        [Effect::Claim { below: below.map(stamp) }]
    }

    fn moved(owner: &str) -> Answer {
        Answer::Moved { owner: name(owner), stamp: stamp(5) }
    }

    #[test]
    fn a_client_claims_at_once_where_nothing_is_in_its_way() {
        assert_eq!(opening(Takeover::RejectNewer, None).begin(None), claims(None));
        assert_eq!(opening(Takeover::ExclusiveDevice, Some(7)).begin(Some(&owned("b", 5))), claims(None));
        assert_eq!(opening(Takeover::RejectNewer, None).begin(Some(&owned("b", 5))), [Effect::Refuse]);
        let own = opening(Takeover::RejectNewer, Some(5)).begin(Some(&owned("me", 5)));
        assert_eq!(own, claims(Some(6)), "nobody asks itself");
    }

    #[test]
    fn its_own_earlier_session_ends_first_wherever_it_is_and_whether_its_owner_answers_or_not() {
        let begun = || {
            let mut opening = opening(Takeover::RejectNewer, Some(5));
            assert_eq!(opening.begin(Some(&owned("b", 5))), [WAITS, asks_to_yield(1, "b", 6)]);
            opening
        };
        let mut opening = begun();
        assert_eq!(opening.answered(1, &moved("c")), [asks_to_yield(2, "c", 6)]);
        assert_eq!(opening.answered(2, &Answer::Yes), claims(Some(6)));
        assert_eq!(begun().answered(1, &Answer::Silent), claims(Some(6)));
        let mut opening = begun();
        assert_eq!(opening.elapsed(), claims(Some(6)));
        assert_eq!(opening.answered(1, &moved("c")), [], "that comes too late");
    }

    #[test]
    fn an_owner_that_has_the_session_keeps_a_client_out_that_may_have_lost_against_it() {
        let begun = || {
            let mut opening = opening(Takeover::RejectNewer, Some(7));
            let asks = Effect::Ask(to_confirm(1, "b", 5));
            assert_eq!(opening.begin(Some(&owned("b", 5))), [WAITS, asks]);
            opening
        };
        assert_eq!(begun().answered(1, &Answer::Yes), [Effect::Refuse]);
        for answer in [Answer::No, Answer::Silent, moved("c")] {
            assert_eq!(begun().answered(1, &answer), claims(Some(6)), "{answer:?}");
        }
        assert_eq!(begun().elapsed(), claims(Some(6)));
    }

    #[test]
    fn after_the_claim_all_are_asked_at_once_and_the_client_waits_until_the_last_one_has_let_go() {
        let claimed = || {
            let mut opening = opening(Takeover::OnePerUser, None);
            assert_eq!(opening.begin(None), claims(None));
            let other = DeviceHash(2);
            let displaced = vec![(DEVICE, owned("b", 5)), (other, owned("c", 6))];
            let question = Question::Yield { device: other, below: stamp(9), rival: Rival::OtherDevice };
            let asks = Effect::Ask(Ask { number: 2, owner: name("c"), question });
            assert_eq!(opening.claimed(stamp(9), displaced, None), [WAITS, asks_to_yield(1, "b", 9), asks]);
            opening
        };
        let mut opening = claimed();
        assert_eq!(opening.answered(2, &Answer::Yes), []);
        assert_eq!(opening.answered(1, &moved("d")), [asks_to_yield(3, "d", 9)]);
        assert_eq!(opening.answered(1, &Answer::Yes), [], "it was answered");
        assert_eq!(opening.answered(3, &Answer::Yes), [Effect::Open { late: false }]);
        assert_eq!(opening.elapsed(), [], "it is over");
        assert_eq!(claimed().elapsed(), [Effect::Open { late: true }]);
    }

    #[test]
    fn a_client_is_the_session_at_once_where_its_claim_excludes_nobody_elsewhere() {
        let mut opening = opening(Takeover::ExclusiveDevice, None);
        assert_eq!(opening.begin(None), claims(None));
        assert_eq!(opening.claimed(stamp(9), Vec::new(), None), [Effect::Open { late: false }]);
        let mut opening = self::opening(Takeover::ExclusiveDevice, None);
        assert_eq!(opening.begin(None), claims(None));
        let yielded = (name("c"), stamp(6));
        let asked = opening.claimed(stamp(9), Vec::new(), Some(&yielded));
        assert_eq!(asked, [WAITS, asks_to_yield(1, "c", 9)], "the directory may not show it yet");
    }
}
