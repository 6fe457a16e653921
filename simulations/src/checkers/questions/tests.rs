//! Questions as they should be, and as they should not.

use pushmesh::id::Stamp;
use pushmesh::internals::DeviceHash;

use super::*;
use crate::checkers::claims::End;
use crate::checkers::sight::name_of;
use crate::decision::Why;

/// A claim: whose, at which node, with which stamp. It is made after 10 ms, and stands.
type Made = (ClientIndex, NodeIndex, u64);

fn claims(made: &[Made]) -> Claims {
    let mut claims = Claims::default();
    made.iter().for_each(|(client, node, stamp)| claims.put(*client, Claim::made(*node, *stamp, 10, None)));
    claims
}

fn to_yield(device: ClientIndex, below: u64, rival: Rival) -> Question {
    Question::Yield { device: DeviceHash(device as u64), below: Stamp::from_raw(below), rival }
}

fn to_confirm(device: ClientIndex, stamp: u64) -> Question {
    Question::Confirm { device: DeviceHash(device as u64), stamp: Stamp::from_raw(stamp) }
}

/// A question of client 0 to the first node.
fn asked(stamp: Option<u64>, resumed: Option<u64>, question: Question) -> Asked {
    Asked { client: 0, stamp, resumed, owner: name_of(1), question }
}

#[test]
fn a_node_asks_for_a_claim_that_it_has_made_and_with_the_stamp_of_that_one() {
    let claims = claims(&[(0, 1, 5), (0, 2, 9)]);
    let ask = |node, stamp, below| {
        let asked = asked(Some(stamp), None, to_yield(0, below, Rival::SameDevice));
        Questions::new(Policy::ExclusiveDevice).asked(&claims, &name_of(node), &asked)
    };
    assert_eq!(ask(2, 9, 9), Ok(()));
    assert!(ask(2, 9, 10).is_err(), "that is more than it has claimed");
    assert!(ask(2, 8, 8).is_err(), "it has made no such claim");
    assert!(ask(3, 9, 9).is_err(), "another node has made it");
}

#[test]
fn a_node_asks_for_a_token_that_it_was_shown_and_for_no_later_session() {
    let claims = claims(&[(0, 1, 5)]);
    let ask = |client, node, token, below| {
        let mut questions = Questions::new(Policy::RejectNewer);
        questions.shown(client, node, 5);
        questions.asked(
            &claims,
            &name_of(2),
            &asked(None, Some(token), to_yield(0, below, Rival::SameDevice)),
        )
    };
    assert_eq!(ask(0, 2, 5, 6), Ok(()));
    assert!(ask(0, 2, 5, 7).is_err(), "that is above the token");
    assert!(ask(0, 2, 6, 7).is_err() && ask(1, 2, 5, 6).is_err() && ask(0, 3, 5, 6).is_err());
    let own = asked(Some(5), None, to_yield(0, 5, Rival::SameDevice));
    let mut questions = Questions::new(Policy::RejectNewer);
    assert!(questions.asked(&claims, &name_of(1), &own).is_err(), "older claims win");
}

#[test]
fn another_device_is_asked_only_where_the_claim_leaves_no_room_for_it() {
    assert_eq!([0, 1].map(user_of), [0; 2]);
    let ask = |policy, made: &[Made], about| {
        let asked = asked(Some(9), None, to_yield(about, 9, Rival::OtherDevice));
        Questions::new(policy).asked(&claims(made), &name_of(2), &asked)
    };
    let made = [(1, 1, 5), (0, 2, 9)];
    assert_eq!(ask(Policy::OnePerUser, &made, 1), Ok(()));
    assert_eq!(ask(Policy::MaxPerUser(1), &made, 1), Ok(()));
    assert!(ask(Policy::MaxPerUser(2), &made, 1).is_err(), "there is room for two");
    assert!(ask(Policy::ExclusiveDevice, &made, 1).is_err());
    assert!(ask(Policy::OnePerUser, &made, 0).is_err(), "that is the device itself");
}

#[test]
fn a_claim_that_its_node_knows_to_be_over_excludes_nobody_and_is_not_asked_for() {
    let ask = |version| {
        let mut claims = claims(&[(0, 2, 9)]);
        claims.put(0, Claim::made(1, 5, 10, Some(End { at_ms: 20, version: Some(version) })));
        let mut questions = Questions::new(Policy::RejectNewer);
        questions.asked(&claims, &name_of(2), &asked(Some(9), None, to_confirm(0, 5)))
    };
    assert_eq!(ask(10), Ok(()));
    assert!(ask(9).is_err(), "it has seen the end of that claim");
    let later = asked(Some(5), None, to_confirm(0, 9));
    let claims = claims(&[(0, 1, 5), (0, 2, 9)]);
    let later = Asked { owner: name_of(2), ..later };
    assert!(
        Questions::new(Policy::RejectNewer).asked(&claims, &name_of(1), &later).is_err(),
        "the older claim wins"
    );
    assert_eq!(Questions::new(Policy::ExclusiveDevice).asked(&claims, &name_of(1), &later), Ok(()));
}

/// A question of the second node to the first one, which was asked, and is answered of the session that is held.
fn answer(
    asked_below: u64,
    below: u64,
    held: Option<u64>,
    answer: Answer,
) -> Result<Option<(usize, u64)>, String> {
    let claims = claims(&[(0, 1, 5), (0, 2, 9), (0, 3, 4)]);
    let mut questions = Questions::new(Policy::ExclusiveDevice);
    let (question, by) = (|below| to_yield(0, below, Rival::SameDevice), name_of(2));
    questions.asked(&claims, &by, &asked(Some(asked_below), None, question(asked_below)))?;
    let answered = |questions: &mut Questions| {
        let asker = (Some(&by), 0, question(below));
        questions.answered((30, &claims), &name_of(1), asker, (held, &answer), |_, _| false)
    };
    let first = answered(&mut questions);
    assert!(answered(&mut questions).is_err(), "it is answered once");
    first
}

#[test]
fn a_question_is_answered_as_the_policy_says_and_only_if_it_was_asked() {
    assert_eq!(answer(9, 9, Some(5), Answer::Yes), Ok(Some((0, 5))));
    assert!(answer(9, 9, Some(5), Answer::No).is_err(), "it is below that");
    assert!(answer(9, 8, Some(5), Answer::Yes).is_err(), "nobody has asked that");
    assert!(answer(9, 9, Some(6), Answer::Yes).is_err(), "it has never claimed that");
    assert!(answer(9, 9, None, Answer::No).is_err(), "it has a session of that device");
}

#[test]
fn a_session_that_is_not_below_a_question_stays() {
    let claims = claims(&[(0, 1, 10), (0, 2, 9)]);
    let told = |said| {
        let mut questions = Questions::new(Policy::ExclusiveDevice);
        let question = to_yield(0, 9, Rival::SameDevice);
        questions.asked(&claims, &name_of(2), &asked(Some(9), None, question))?;
        let asker = (Some(&name_of(2)), 0, question);
        questions.answered((30, &claims), &name_of(1), asker, (Some(10), &said), |_, _| false)
    };
    let stays = |stamp| Answer::Moved { owner: name_of(1), stamp: Stamp::from_raw(stamp) };
    assert_eq!(told(stays(10)), Ok(None));
    for wrong in [Answer::Yes, Answer::No, stays(9), Answer::Moved { owner: name_of(2), stamp: Stamp::ZERO }]
    {
        assert!(told(wrong).is_err());
    }
}

#[test]
fn a_session_is_confirmed_exactly_if_it_is_that_one_and_stays() {
    let claims = claims(&[(0, 1, 5), (0, 2, 9)]);
    let confirms = |stamp, said, over: bool| {
        let mut questions = Questions::new(Policy::RejectNewer);
        questions.shown(0, 2, 7);
        let question = to_confirm(0, 5);
        questions.asked(&claims, &name_of(2), &asked(None, Some(7), question))?;
        questions.answered((30, &claims), &name_of(1), (None, 0, question), (Some(stamp), &said), |_, _| over)
    };
    assert_eq!(confirms(5, Answer::Yes, false), Ok(None));
    assert!(confirms(5, Answer::Yes, true).is_err(), "it ends");
    assert_eq!(confirms(5, Answer::No, true), Ok(Some((0, 5))), "it has to be over soon");
}

#[test]
fn what_is_heard_was_said() {
    let claims = claims(&[(0, 1, 5), (0, 2, 9)]);
    let heard = |answer, times: usize| {
        let mut questions = Questions::new(Policy::ExclusiveDevice);
        let (by, question) = (name_of(2), to_yield(0, 9, Rival::SameDevice));
        let asked = asked(Some(9), None, question);
        questions.asked(&claims, &by, &asked)?;
        let yes = (Some(5), &Answer::Yes);
        questions.answered((30, &claims), &name_of(1), (Some(&by), 0, question), yes, |_, _| false)?;
        (0..times).try_for_each(|_| questions.heard(&by, &asked, &answer))
    };
    assert_eq!(heard(Answer::Silent, 2), Ok(()), "it may come too late");
    assert_eq!(heard(Answer::Yes, 1), Ok(()));
    let twice = heard(Answer::Yes, 2).unwrap_err();
    assert!(twice.contains("nobody has said that"), "{twice}");
    assert!(heard(Answer::No, 1).is_err());
}

#[test]
fn a_session_ends_only_for_a_question_that_names_it() {
    let claims = claims(&[(0, 1, 5), (1, 1, 6), (0, 2, 9), (0, 1, 11)]);
    let ends = |client, stamp, winner_stamp, rival| {
        let mut questions = Questions::new(Policy::OnePerUser);
        let question = to_yield(0, 9, Rival::SameDevice);
        questions.asked(&claims, &name_of(2), &asked(Some(9), None, question)).unwrap();
        let why = Why::Asked;
        let ended = Ended { client, stamp, why, winner: name_of(2), winner_stamp, rival };
        questions.ends(&claims, &name_of(1), &ended)
    };
    assert_eq!(ends(0, 5, 9, Rival::SameDevice), Ok(()));
    assert!(ends(1, 6, 9, Rival::SameDevice).is_err(), "another device");
    assert!(ends(0, 11, 9, Rival::SameDevice).is_err(), "it is not below that");
    assert!(ends(0, 5, 8, Rival::SameDevice).is_err() && ends(0, 5, 9, Rival::OtherDevice).is_err());
}
