//! The dispute about a session of this node that another claim excludes, where that one may have to go itself.
//!
//! ```text
//!                  ┌──────────────── Linger ◄───────────────┐
//!                  ▼                                        │
//!   begin ──► Look ─┬─ its own earlier session ──► Yield ───┘
//!                  ▲├─ another one ──► Linger ──► Look ──► Confirm ─┬─ yes ──► Close
//!                  ││                                             │
//!                  └┼─────────────────────────────────────────────┘ no
//!                   └─ none ──► Over
//! ```
//!
//! - The other claim may be of an earlier connection of the same client, which the client's resume token has proven. Then
//!   the session stays, and the owner of the earlier one is asked to let go until the directory shows it no more: it may
//!   have stood still, or behind a partition, when it was asked first.
//! - It may have been released while its owner was hidden: a section that is shown again is as old as it was when it was
//!   hidden. So it is looked at again after a while, its owner is asked whether it has that session, and only then the
//!   newer one is closed. Otherwise both would lose.
//!
//! The owner is asked about that very claim and not about the key: it may hold a later session of the key, which asks in
//! turn about the one here, and then both would lose as well.

use crate::directory::policy::{self, Opposition};
use crate::directory::{Owned, Rival};
use crate::id::{NodeName, Stamp};
use crate::key::DeviceHash;
use crate::ownership::asking::{Asking, Heard};
use crate::ownership::ending::Ending;
use crate::ownership::question::{Answer, Ask, Question};
use crate::ownership::timer::Timer;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Look at the directory now: [`Dispute::looked`].
    Look,
    /// Wait no longer than that, from now: [`Dispute::elapsed`]. The timer before stops.
    Start(Timer),
    /// Ask an owner: [`Dispute::answered`].
    Ask(Ask),
    /// The session ends, and its claim says from now on that it has yielded.
    Close(Ending),
    /// It is settled.
    Over,
}

/// A dispute about one session.
#[derive(Debug, Clone)]
pub struct Dispute {
    device: DeviceHash,
    stamp: Stamp,
    succeeds: Option<Stamp>,
    asking: Asking,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// It is to be looked at, or nothing is to be done until then.
    Rests,
    /// The owner of its client's earlier session is asked to end that one.
    Insists,
    /// This claim stands against it. It is looked at again after a while.
    Doubts(Owned),
    /// Whether this claim still stands against it.
    Recalls(Owned),
    /// The owner of this claim is asked for its session.
    Confirms(Owned),
}

impl Dispute {
    /// A dispute about the session that the node `me` claims for `device` with `stamp`, and that succeeds the session
    /// with the other stamp.
    #[must_use]
    pub fn new(me: NodeName, device: DeviceHash, stamp: Stamp, succeeds: Option<Stamp>) -> Self {
        Self { device, stamp, succeeds, asking: Asking::new(me), state: State::Rests }
    }

    /// What to do first.
    #[must_use]
    pub fn begin(&mut self) -> Vec<Effect> {
        self.look()
    }

    /// What stands against the session. `rival`: the claim that ends all others of its key, as the directory shows it (`None`: no
    /// claim does). `ends`: the session is over by now.
    #[must_use]
    pub fn opposition(&self, ends: bool, rival: Option<Owned>) -> Opposition {
        let rival = rival.filter(|_| !ends);
        policy::opposition(self.asking.me(), self.stamp, self.succeeds, rival)
    }

    /// What stands against the session now.
    #[must_use]
    pub fn looked(&mut self, opposition: Opposition) -> Vec<Effect> {
        match (std::mem::replace(&mut self.state, State::Rests), opposition) {
            (_, Opposition::None) => vec![Effect::Over],
            (State::Recalls(before), Opposition::Other(held)) if before == held => {
                let confirm = Question::Confirm { device: self.device, stamp: held.stamp };
                let owner = held.owner.clone();
                self.ask(State::Confirms(held), Timer::Confirm, owner, confirm)
            }
            // Should its owner not answer, it is asked again.
            (_, Opposition::Earlier(held, below)) => {
                let rival = Rival::SameDevice;
                let question = Question::Yield { device: self.device, below, rival };
                self.ask(State::Insists, Timer::Takeover, held.owner, question)
            }
            (_, Opposition::Other(held)) => self.linger(State::Doubts(held)),
        }
    }

    /// An owner has answered.
    #[must_use]
    pub fn answered(&mut self, number: u64, answer: &Answer) -> Vec<Effect> {
        match self.asking.answered(number, answer) {
            Heard::Stale => Vec::new(),
            Heard::Next(ask) => vec![Effect::Ask(ask)],
            Heard::Answered => match std::mem::replace(&mut self.state, State::Rests) {
                State::Confirms(Owned { owner, stamp, .. }) if *answer == Answer::Yes => {
                    vec![Effect::Close(Ending::of(Rival::SameDevice, owner, stamp)), Effect::Look]
                }
                State::Confirms(_) => self.look(),
                _ => self.linger(State::Rests),
            },
        }
    }

    /// The timer has elapsed.
    #[must_use]
    pub fn elapsed(&mut self) -> Vec<Effect> {
        self.asking.give_up();
        match std::mem::replace(&mut self.state, State::Rests) {
            State::Insists => self.linger(State::Rests),
            State::Doubts(held) => {
                self.state = State::Recalls(held);
                vec![Effect::Look]
            }
            State::Rests | State::Recalls(_) | State::Confirms(_) => self.look(),
        }
    }

    fn look(&mut self) -> Vec<Effect> {
        self.state = State::Rests;
        vec![Effect::Look]
    }

    fn linger(&mut self, state: State) -> Vec<Effect> {
        self.state = state;
        vec![Effect::Start(Timer::Linger)]
    }

    fn ask(&mut self, state: State, timer: Timer, owner: NodeName, question: Question) -> Vec<Effect> {
        match self.asking.ask(owner, question) {
            Some(ask) => {
                self.state = state;
                vec![Effect::Start(timer), Effect::Ask(ask)]
            }
            None => self.linger(State::Rests),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ownership::tests::*;

    /// A dispute about the session with the stamp 9, which has begun.
    fn dispute(succeeds: Option<u64>) -> Dispute {
        let mut dispute = Dispute::new(name("me"), DEVICE, stamp(9), succeeds.map(stamp));
        assert_eq!(dispute.begin(), [Effect::Look]);
        dispute
    }

    fn looked(dispute: &mut Dispute, rival: Option<Owned>) -> Vec<Effect> {
        let opposition = dispute.opposition(false, rival);
        dispute.looked(opposition)
    }

    fn asks_to_yield(number: u64, owner: &str, below: u64) -> Effect {
        Effect::Ask(to_yield(number, owner, below))
    }

    fn asks_to_confirm(number: u64, owner: &str, raw: u64) -> Effect {
        Effect::Ask(to_confirm(number, owner, raw))
    }

    #[test]
    fn a_dispute_is_over_when_no_claim_stands_against_the_session_or_it_ends_itself() {
        assert_eq!(looked(&mut dispute(None), None), [Effect::Over]);
        assert_eq!(looked(&mut dispute(None), Some(owned("me", 9))), [Effect::Over]);
        let mut dispute = dispute(None);
        let opposition = dispute.opposition(true, Some(owned("b", 5)));
        assert_eq!(dispute.looked(opposition), [Effect::Over]);
    }

    #[test]
    fn a_session_insists_against_its_own_earlier_one_from_owner_to_owner_until_it_is_gone() {
        let mut dispute = dispute(Some(5));
        let within = Effect::Start(Timer::Takeover);
        let rival = Some(owned("b", 5));
        assert_eq!(looked(&mut dispute, rival.clone()), [within.clone(), asks_to_yield(1, "b", 6)]);
        let moved = Answer::Moved { owner: name("c"), stamp: stamp(5) };
        assert_eq!(dispute.answered(1, &moved), [asks_to_yield(2, "c", 6)]);
        assert_eq!(dispute.answered(2, &Answer::Yes), [Effect::Start(Timer::Linger)]);
        assert_eq!(dispute.elapsed(), [Effect::Look]);
        assert_eq!(looked(&mut dispute, rival), [within, asks_to_yield(3, "b", 6)]);
        assert_eq!(dispute.elapsed(), [Effect::Start(Timer::Linger)], "nobody answers");
        assert_eq!(dispute.answered(3, &moved), [], "that comes too late");
        assert_eq!(dispute.elapsed(), [Effect::Look]);
        assert_eq!(looked(&mut dispute, None), [Effect::Over]);
    }

    #[test]
    fn a_session_gives_way_to_an_older_claim_that_still_stands_after_a_while_and_is_confirmed() {
        let mut dispute = dispute(None);
        let rival = Some(owned("b", 5));
        assert_eq!(looked(&mut dispute, rival.clone()), [Effect::Start(Timer::Linger)]);
        assert_eq!(dispute.elapsed(), [Effect::Look], "what was released before shows by now");
        let asks = [Effect::Start(Timer::Confirm), asks_to_confirm(1, "b", 5)];
        assert_eq!(looked(&mut dispute, rival.clone()), asks);
        let ending = Ending::Superseded { owner: name("b"), stamp: stamp(5) };
        assert_eq!(dispute.answered(1, &Answer::Yes), [Effect::Close(ending), Effect::Look]);
        let opposition = dispute.opposition(true, rival);
        assert_eq!(dispute.looked(opposition), [Effect::Over]);
    }

    #[test]
    fn a_session_does_not_give_way_to_a_claim_that_is_not_confirmed() {
        let rival = Some(owned("b", 5));
        for answer in [Some(Answer::No), Some(Answer::Silent), None] {
            let mut dispute = dispute(None);
            assert_eq!(looked(&mut dispute, rival.clone()), [Effect::Start(Timer::Linger)]);
            assert_eq!(dispute.elapsed(), [Effect::Look]);
            assert_eq!(looked(&mut dispute, rival.clone()).len(), 2);
            let after = match answer {
                Some(answer) => dispute.answered(1, &answer),
                None => dispute.elapsed(),
            };
            assert_eq!(after, [Effect::Look]);
            assert_eq!(looked(&mut dispute, rival.clone()), [Effect::Start(Timer::Linger)], "once more");
        }
    }

    #[test]
    fn a_session_doubts_anew_where_another_claim_stands_against_it_than_before() {
        let mut dispute = dispute(Some(3));
        assert_eq!(looked(&mut dispute, Some(owned("b", 5))), [Effect::Start(Timer::Linger)]);
        assert_eq!(dispute.elapsed(), [Effect::Look]);
        assert_eq!(looked(&mut dispute, Some(owned("b", 4))), [Effect::Start(Timer::Linger)]);
        assert_eq!(dispute.elapsed(), [Effect::Look]);
        let insists = [Effect::Start(Timer::Takeover), asks_to_yield(1, "c", 4)];
        assert_eq!(looked(&mut dispute, Some(owned("c", 3))), insists);
    }
}
