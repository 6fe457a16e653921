//! Takeovers as they should be, and as they should not.

use pushmesh::id::Stamp;
use pushmesh::internals::DeviceHash;

use super::*;
use crate::checkers::claims::End as Over;
use crate::checkers::sight::name_of;

/// A claim: whose, at which node, with which stamp, from when, to when.
type Made = (ClientIndex, NodeIndex, u64, u64, Option<u64>);

fn checker(takeover: Policy, made: &[Made]) -> Takeover {
    let mut checker = Takeover::new(&Settings { takeover, ..Settings::default() });
    for (client, node, stamp, made_ms, end) in made {
        let end = end.map(|at_ms| Over { at_ms, version: Some(2) });
        checker.claims.put(*client, Claim::made(*node, *stamp, *made_ms, end));
    }
    checker
}

/// A client connects to a node at that time, with that resume token; number and node of the connection are one.
fn open(checker: &mut Takeover, at_ms: u64, client: ClientIndex, node: NodeIndex, resumed: Option<u64>) {
    let connection = node as ConnectionId;
    let dialled = Event::Dialled { connection, client, node, resumed };
    checker.event(at_ms, &dialled).unwrap();
    checker.event(at_ms, &Event::Opened { connection, client, node }).unwrap();
}

fn closed(checker: &mut Takeover, at_ms: u64, connection: ConnectionId, code: u16) -> Result<(), String> {
    checker.event(at_ms, &Event::Ended { connection, end: End::Closed(Some(code)) })?;
    checker.tick(at_ms, &[])
}

/// A node decides something.
fn decided(checker: &mut Takeover, at_ms: u64, by: NodeIndex, decision: Decision) -> Result<(), String> {
    checker.event(at_ms, &Event::Decided { by: name_of(by), decision })?;
    checker.tick(at_ms, &[])
}

/// The session of a client with that stamp ends for the claim of another node.
fn ended(
    client: ClientIndex,
    stamp: u64,
    why: Why,
    (winner, winner_stamp): (NodeIndex, u64),
    rival: Rival,
) -> Decision {
    Decision::Ended(Ended { client, stamp, why, winner: name_of(winner), winner_stamp, rival })
}

/// The session of client 0 with that stamp ends for the claim of another node.
fn taken(stamp: u64, why: Why, winner: (NodeIndex, u64)) -> Decision {
    ended(0, stamp, why, winner, Rival::SameDevice)
}

#[test]
fn both_that_lose_are_found() {
    let mut checker = checker(Policy::ExclusiveDevice, &[(0, 1, 5, 10, None), (0, 2, 9, 20, None)]);
    assert_eq!(decided(&mut checker, 30, 1, taken(5, Why::Lost, (2, 9))), Ok(()));
    assert!(
        decided(&mut checker, 30, 2, taken(9, Why::Lost, (1, 5))).is_err(),
        "the newer one has lost to nobody"
    );
}

#[test]
fn who_is_closed_without_a_reason_or_for_an_earlier_session_of_its_own_is_found() {
    let closed = |why: Option<Decision>, resumed| {
        let mut checker = checker(Policy::ExclusiveDevice, &[(0, 1, 5, 10, None), (0, 2, 9, 20, None)]);
        open(&mut checker, 10, 0, 1, resumed);
        why.into_iter().try_for_each(|why| decided(&mut checker, 30, 1, why))?;
        closed(&mut checker, 40, 1, 4001)
    };
    let lost = || Some(taken(5, Why::Lost, (2, 9)));
    assert_eq!(closed(lost(), None), Ok(()));
    assert_eq!(closed(lost(), Some(8)), Ok(()));
    assert!(closed(lost(), Some(9)).is_err(), "it has proven that one");
    assert!(closed(None, None).is_err());
}

#[test]
fn a_claim_that_was_over_takes_no_place_where_that_was_known() {
    let seen = |version| {
        let mut checker = checker(Policy::ExclusiveDevice, &[(0, 1, 5, 10, None)]);
        let over = Some(Over { at_ms: 25, version: Some(version) });
        checker.claims.put(0, Claim::made(2, 9, 20, over));
        decided(&mut checker, 30, 1, taken(5, Why::Lost, (2, 9)))
    };
    assert_eq!(seen(10), Ok(()), "its node has not heard of the end yet");
    assert!(seen(9).is_err());
}

#[test]
fn another_device_takes_the_place_only_where_the_policy_says_so() {
    assert_eq!(user_of(0), user_of(1));
    let seen = |policy, other| {
        let mut checker = checker(policy, &[(0, 1, 5, 10, None), (other, 2, 9, 20, None)]);
        decided(&mut checker, 30, 1, ended(0, 5, Why::Lost, (2, 9), Rival::OtherDevice))
    };
    assert_eq!(seen(Policy::OnePerUser, 1), Ok(()));
    assert_eq!(seen(Policy::MaxPerUser(1), 1), Ok(()));
    assert!(seen(Policy::MaxPerUser(2), 1).is_err());
    assert!(seen(Policy::ExclusiveDevice, 1).is_err());
    assert!(seen(Policy::OnePerUser, 5).is_err());
    assert!(seen(Policy::OnePerUser, 0).is_err(), "that is the same device");
}

#[test]
fn a_later_claim_of_the_same_node_replaces_a_session_when_it_is_made() {
    let seen = |policy, made_ms, token| {
        let mut checker = checker(policy, &[(0, 1, 5, 10, None), (0, 1, 9, made_ms, None)]);
        open(&mut checker, 20, 0, 1, token);
        let claimed = Decision::Claimed { client: 0, stamp: 9, resumed: token, away: false };
        checker.event(30, &Event::Decided { by: name_of(1), decision: claimed })?;
        decided(&mut checker, 30, 1, taken(5, Why::Replaced, (1, 9)))
    };
    assert_eq!(seen(Policy::ExclusiveDevice, 30, None), Ok(()));
    assert!(seen(Policy::ExclusiveDevice, 29, None).is_err(), "that was before");
    assert!(seen(Policy::RejectNewer, 30, None).is_err(), "older claims win");
    assert_eq!(seen(Policy::RejectNewer, 30, Some(5)), Ok(()));
}

#[test]
fn a_token_that_nobody_has_shown_is_found_where_it_is_believed() {
    let mut checker = checker(Policy::ExclusiveDevice, &[(0, 1, 5, 10, None)]);
    open(&mut checker, 9, 0, 1, Some(3));
    let mut claimed = |resumed| {
        decided(&mut checker, 10, 1, Decision::Claimed { client: 0, stamp: 5, resumed, away: false })
    };
    assert_eq!([None, Some(3)].map(&mut claimed), [Ok(()), Ok(())]);
    assert!(claimed(Some(4)).is_err());
}

/// Under `reject-newer`, the owner of an older claim is asked in a dispute, and answers.
fn disputed(answer: Answer) -> Takeover {
    let mut checker = checker(Policy::RejectNewer, &[(0, 1, 5, 10, None), (0, 2, 9, 20, None)]);
    let question = Question::Confirm { device: DeviceHash(0), stamp: Stamp::from_raw(5) };
    let asked = Asked { client: 0, stamp: Some(9), resumed: None, owner: name_of(1), question };
    let (held, said) = (Some(5), answer.clone());
    let answered = Decision::Answered { by: None, user: 0, question, held, answer: said };
    assert_eq!(decided(&mut checker, 30, 2, Decision::Asked(asked.clone())), Ok(()));
    assert_eq!(decided(&mut checker, 31, 1, answered), Ok(()));
    let heard = Event::Decided { by: name_of(2), decision: Decision::Heard { asked, answer } };
    checker.event(32, &heard).unwrap();
    checker
}

#[test]
fn a_session_gives_way_to_an_older_claim_when_its_owner_has_confirmed_that_and_not_later() {
    let gives_way = |answer, at_ms, winner| {
        let mut checker = disputed(answer);
        if at_ms > 32 {
            checker.tick(32, &[])?;
        }
        decided(&mut checker, at_ms, 2, taken(9, Why::Disputed, winner))
    };
    assert_eq!(gives_way(Answer::Yes, 32, (1, 5)), Ok(()));
    assert!(gives_way(Answer::No, 32, (1, 5)).is_err());
    assert!(gives_way(Answer::Yes, 33, (1, 5)).is_err(), "that was before");
    assert!(gives_way(Answer::Yes, 32, (1, 4)).is_err(), "that was not confirmed");
}

#[test]
fn a_claim_stands_no_longer_than_a_close_takes_when_it_is_told_to_be_over() {
    let longest_ms = 32 + LETS_GO_MS + LOOK_EVERY_MS;
    let looks = |answer, after_ms: u64| {
        let mut checker = disputed(answer);
        checker.tick(32, &[])?;
        checker.lets_go(longest_ms + after_ms)
    };
    assert_eq!(looks(Answer::Yes, 0), Ok(()));
    let late = looks(Answer::Yes, 1).unwrap_err();
    assert!(late.starts_with("n3 holds 9"), "it was told that an older claim stands: {late}");
    let late = looks(Answer::No, 1).unwrap_err();
    assert!(late.starts_with("n2 holds 5"), "its node has said that it ends: {late}");
}

#[test]
fn one_that_was_not_confirmed_may_be_kept_for_its_client_and_one_that_has_let_go_may_not() {
    let looks = |yields: bool| {
        let mut checker = disputed(Answer::No);
        checker.tick(32, &[])?;
        if yields {
            checker.over_ms.extend(std::mem::take(&mut checker.going_ms));
        }
        checker.claims.park(0, 5);
        checker.lets_go(33 + LETS_GO_MS + LOOK_EVERY_MS)
    };
    assert_eq!(looks(false), Ok(()));
    assert!(looks(true).is_err());
}

#[test]
fn a_session_that_ends_for_a_question_is_named_by_one() {
    let seen = |asked_below: Option<u64>| {
        let mut checker = checker(Policy::ExclusiveDevice, &[(0, 1, 5, 10, None), (0, 2, 9, 20, None)]);
        if let Some(below) = asked_below {
            let below = Stamp::from_raw(below);
            let question = Question::Yield { device: DeviceHash(0), below, rival: Rival::SameDevice };
            let asked = Asked { client: 0, stamp: Some(9), resumed: None, owner: name_of(1), question };
            decided(&mut checker, 30, 2, Decision::Asked(asked))?;
        }
        // However long it was on its way, and though its claim is over by now.
        decided(&mut checker, 90_000, 1, taken(5, Why::Asked, (2, 9)))
    };
    assert_eq!(seen(Some(9)), Ok(()));
    assert!(seen(Some(10)).is_err(), "that is more than was claimed");
    assert!(seen(None).is_err());
}

#[test]
fn who_lives_on_without_a_claim_is_found() {
    let seen = |stalled, now_ms| {
        let mut checker = checker(Policy::ExclusiveDevice, &[(0, 1, 5, 10, Some(100))]);
        checker.event(0, &Event::Booted { node: 1, incarnation: 1 }).unwrap();
        open(&mut checker, 10, 0, 1, None);
        if stalled {
            checker.event(20, &Event::Stalled { connection: 1, for_ms: 9 }).unwrap();
        }
        checker.tick(now_ms, &[])
    };
    let late_ms = (100 + CLOSE_MS_MAX).next_multiple_of(LOOK_EVERY_MS) + LOOK_EVERY_MS;
    assert_eq!(seen(false, late_ms - 2 * LOOK_EVERY_MS), Ok(()));
    assert!(seen(false, late_ms).is_err());
    assert_eq!(seen(true, late_ms), Ok(()));
}

#[test]
fn who_stands_beside_a_newer_claim_is_found_once_both_nodes_have_heard_of_each_other() {
    let seen = |reached_ms: Option<u64>, now_ms| {
        let mut checker = checker(Policy::ExclusiveDevice, &[(0, 1, 5, 10, None), (0, 2, 9, 20_000, None)]);
        reached_ms.into_iter().for_each(|at_ms| checker.paths(at_ms, 3, &|_, _| true));
        checker.tick(now_ms, &[])
    };
    let quick_ms = (20_000 + HEARD_MS + LETS_GO_MS).next_multiple_of(LOOK_EVERY_MS);
    assert_eq!(seen(Some(0), quick_ms - LOOK_EVERY_MS), Ok(()));
    assert!(seen(Some(0), quick_ms + LOOK_EVERY_MS).is_err());
    assert_eq!(seen(Some(20_000), quick_ms + LOOK_EVERY_MS), Ok(()), "they were apart when it was made");
    assert!(seen(Some(20_000), quick_ms + LINKED_MS + LOOK_EVERY_MS).is_err());
    assert_eq!(seen(None, 10 * quick_ms), Ok(()));
}

#[test]
fn a_refusal_that_the_policy_does_not_know_is_found() {
    let refused = |takeover, why: &str| {
        let event = Event::Refused { connection: 1, client: 0, node: 0, why: why.to_owned() };
        Takeover::new(&Settings { takeover, ..Settings::default() }).event(0, &event)
    };
    assert_eq!(refused(Policy::RejectNewer, "HTTP error: 409 Conflict"), Ok(()));
    assert!(refused(Policy::OnePerUser, "HTTP error: 409 Conflict").is_err());
    assert!(refused(Policy::RejectNewer, "HTTP error: 400 Bad Request").is_err());
    assert_eq!(refused(Policy::OnePerUser, "192.168.0.1:8080"), Ok(()));
}
