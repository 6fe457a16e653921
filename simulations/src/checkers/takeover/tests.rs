//! Takeovers as they should be, and as they should not.

use super::*;
use crate::checkers::claims::End as Over;

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

#[test]
fn both_that_lose_are_found() {
    let both = |first, second| {
        let mut checker = checker(Policy::ExclusiveDevice, &[(0, 1, 5, 10, None), (0, 2, 9, 20, None)]);
        open(&mut checker, 10, 0, 1, None);
        open(&mut checker, 20, 0, 2, None);
        closed(&mut checker, 30, 1, first).and_then(|()| closed(&mut checker, 40, 2, second))
    };
    assert_eq!(both(4001, 1000), Ok(()));
    assert!(both(1000, 4001).is_err(), "the newer claim has lost to nobody");
    assert!(both(4001, 4001).is_err());
}

#[test]
fn a_claim_that_was_over_takes_no_place_where_that_was_known() {
    let seen = |over_ms| {
        let before = (0, 2, 9, 20, Some(over_ms));
        let mut checker = checker(Policy::ExclusiveDevice, &[before, (0, 1, 5, 60, None)]);
        let claims = checker.claims.of(0);
        assert_eq!(claims[1].believed_in(&claims[0]), over_ms >= 60);
        open(&mut checker, 60, 0, 1, None);
        closed(&mut checker, 70, 1, 4001)
    };
    assert_eq!(seen(60), Ok(()));
    assert!(seen(59).is_err());
}

#[test]
fn a_question_that_is_late_ends_a_later_session_at_the_node_where_there_was_an_earlier_one() {
    let seen = |node, pause_ms| {
        let made_ms = 100 + pause_ms;
        let earlier = (0, node, 3, 10, Some(20));
        let asks = (0, 2, 9, 30, Some(100));
        let mut checker = checker(Policy::ExclusiveDevice, &[earlier, asks, (0, 1, 5, made_ms, None)]);
        open(&mut checker, made_ms, 0, 1, None);
        closed(&mut checker, made_ms + 10, 1, 4001)
    };
    assert_eq!(seen(1, 1), Ok(()));
    assert_eq!(seen(1, ASKED_MS), Ok(()));
    assert!(seen(1, ASKED_MS + 1).is_err(), "no link brings it any more");
    assert!(seen(3, 1).is_err(), "another node is asked");
}

#[test]
fn another_device_takes_the_place_only_where_the_policy_says_so() {
    assert_eq!(user_of(0), user_of(1));
    let seen = |policy, other| {
        let mut checker = checker(policy, &[(0, 1, 5, 10, None), (other, 2, 9, 20, None)]);
        open(&mut checker, 10, 0, 1, None);
        open(&mut checker, 20, other, 2, None);
        closed(&mut checker, 30, 1, 4001)
    };
    assert_eq!(seen(Policy::OnePerUser, 1), Ok(()));
    assert_eq!(seen(Policy::MaxPerUser(1), 1), Ok(()));
    assert!(seen(Policy::MaxPerUser(2), 1).is_err());
    assert!(seen(Policy::ExclusiveDevice, 1).is_err());
    assert!(seen(Policy::OnePerUser, 5).is_err());
}

#[test]
fn where_older_claims_win_a_newer_one_needs_a_token() {
    let seen = |stamp, resumed, token| {
        let mut checker = checker(Policy::RejectNewer, &[(0, 1, 5, 10, None), (0, 2, stamp, 20, None)]);
        open(&mut checker, 10, 0, 1, resumed);
        open(&mut checker, 20, 0, 2, token);
        closed(&mut checker, 30, 1, 4001)
    };
    assert_eq!(seen(4, None, None), Ok(()));
    assert!(seen(4, Some(4), None).is_err(), "it is of an earlier session of its own");
    assert!(seen(9, None, None).is_err());
    assert!(seen(9, None, Some(4)).is_err(), "the token is of an earlier session");
    assert_eq!(seen(9, None, Some(5)), Ok(()));
}

#[test]
fn a_question_of_a_client_that_gave_up_ends_a_later_session_for_a_while() {
    let closed_after = |pause_ms| {
        let opened_ms = 100 + pause_ms;
        let mut checker = checker(Policy::RejectNewer, &[(0, 1, 5, opened_ms, None)]);
        open(&mut checker, 50, 0, 2, Some(9));
        checker.event(100, &Event::Ended { connection: 2, end: End::Closed(None) }).unwrap();
        open(&mut checker, opened_ms, 0, 1, None);
        closed(&mut checker, opened_ms + 10, 1, 4001)
    };
    assert_eq!(closed_after(ASKED_MS), Ok(()));
    assert!(closed_after(ASKED_MS + 1).is_err(), "no link brings it any more");
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
