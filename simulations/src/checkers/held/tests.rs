//! What the checker finds, and each excuse that it knows.

use super::*;
use crate::aim::Aim;
use crate::answer::Answer;
use crate::ask::{Ask, Terms};
use crate::decision::{self, Decision};
use crate::event::kept::Shows;
use crate::event::{End, Way};
use crate::settings::Keeping;
use pushmesh::{NodeName, Wait};

/// A client whose session is kept for 9 s, connected to the first of three nodes, and a push of 1 s.
struct Course {
    checker: Held,
    found: Result<(), String>,
}

impl Course {
    fn new() -> Self {
        let keeping = Some(Keeping { seconds: 9, careless: 0.0, everybody: false, copies: 0 });
        let checker = Held::new(&Settings { keeping, ..Settings::default() });
        let course = Self { checker, found: Ok(()) };
        course.back(100, 0, 0, &[]).at(1_000, pushed()).at(1_001, answered(Outcome::Queued))
    }

    fn at(mut self, at_ms: u64, event: Event) -> Self {
        if self.found.is_ok() {
            self.found = self.checker.event(at_ms, &event);
        }
        self
    }

    fn kept(self, at_ms: u64, connection: ConnectionId, what: Kept) -> Self {
        self.at(at_ms, Event::Kept { connection, what })
    }

    /// The client connects to a node, and names positions.
    fn back(self, at_ms: u64, connection: ConnectionId, node: NodeIndex, after: &[Position]) -> Self {
        self.at(at_ms, Event::Dialled { connection, client: 0, node, resumed: None })
            .kept(at_ms, connection, Kept::Shown { after: after.to_vec(), shows: Shows::All })
            .at(at_ms, Event::Opened { connection, client: 0, node })
            .at(at_ms, claimed(node, at_ms))
    }

    fn welcomed(self, at_ms: u64, connection: ConnectionId, resumed: Resumed) -> Self {
        let segment = at(connection, 0).segment;
        self.kept(at_ms, connection, Kept::Welcomed { segment, keep: 9, resumed, missing: Vec::new() })
    }

    fn ends(self, at_ms: u64, connection: ConnectionId) -> Self {
        self.at(at_ms, Event::Ended { connection, end: End::Dropped })
    }

    /// In the seconds until then the nodes reach each other, or do not.
    fn apart(mut self, (from_ms, until_ms): (u64, u64), reach: bool) -> Self {
        for at_ms in (from_ms..=until_ms).step_by(100) {
            self.checker.ways(at_ms, 3, &|_, _| reach);
        }
        self
    }

    fn over(mut self) -> Result<(), String> {
        self.found.clone()?;
        self.checker.tick(60_000, &[])?;
        self.checker.end()
    }
}

fn at(stamp: u64, n: u64) -> Position {
    Position { segment: Segment::new(&format!("{stamp:016x}0000000a")).unwrap(), n }
}

fn pushed() -> Event {
    Event::Pushed { push: 5, node: 0, aim: Aim::Client(0), found: vec![(0, 0)], way: Way::Http }
}

fn answered(outcome: Outcome) -> Event {
    let answer = Answer { client: Some(0), node: Some("n1".to_owned()), outcome, copies: 0 };
    Event::Answered { push: 5, sessions: vec![answer], delivered: 0 }
}

fn claimed(node: NodeIndex, stamp: u64) -> Event {
    let by = NodeName::new(format!("n{}", node + 1)).unwrap();
    Event::Decided { by, decision: Decision::Claimed { client: 0, stamp, resumed: None, away: false } }
}

/// The owner hears that others hold the message of the push.
fn stored(by: &str, members: &[&str]) -> Event {
    let name = |name: &str| NodeName::new(name).unwrap();
    let members = members.iter().map(|member| name(member)).collect();
    let stored = decision::Stored { client: 0, at: at(7, 1), id: "p5".to_owned(), members };
    Event::Decided { by: name(by), decision: Decision::Stored(stored) }
}

fn got(connection: ConnectionId) -> Event {
    Event::Got { connection, text: "m5".to_owned() }
}

#[test]
fn what_was_accepted_and_does_not_come_is_found() {
    assert!(Course::new().over().unwrap_err().contains("never came"));
    assert_eq!(Course::new().at(2_000, got(0)).over(), Ok(()));
    for outcome in [Outcome::Delivered, Outcome::Buffered, Outcome::Acked] {
        assert!(Course::new().at(1_002, answered(outcome)).over().is_err());
    }
    let mut refused = Course::new();
    refused.checker.accepted.clear();
    assert_eq!(refused.at(1_002, answered(Outcome::Overloaded)).over(), Ok(()));
}

#[test]
fn a_message_with_a_time_to_live_may_expire() {
    let mut course = Course::new();
    course.checker.pushes.clear();
    let ask = Ask::Push(Aim::Client(0), Terms { ttl_s: Some(1), wait: Wait::Receipt });
    let called = Event::Called { call: 1, node: 0, ask, pushes: vec![5] };
    assert_eq!(course.at(1_000, called).at(1_000, pushed()).over(), Ok(()));
}

#[test]
fn a_session_that_was_ended_holds_nothing() {
    let bye =
        |at_ms| Course::new().kept(at_ms, 0, Kept::Bye).ends(at_ms, 0).back(at_ms + 1, 1, 0, &[]).over();
    assert_eq!(bye(1_500), Ok(()));
    let kick = |client| {
        let ask = Ask::Kick(Aim::Client(client));
        Course::new().at(1_500, Event::Called { call: 1, node: 0, ask, pushes: Vec::new() }).over()
    };
    assert!(kick(0).is_ok() && kick(1).is_err());
    let lies = Course::new().ends(1_500, 0).back(1_600, 1, 0, &[at(7, 3)]);
    assert_eq!(lies.over(), Ok(()), "it says that it has what it has not");
}

#[test]
fn a_node_that_crashed_may_have_held_it_if_it_answered_or_claimed_it() {
    let crash = |node| Course::new().at(2_000, Event::Crashed { node }).over();
    assert!(crash(0).is_ok() && crash(1).is_err());
    let next = Course::new().ends(2_000, 0).back(2_100, 1, 1, &[]).at(2_200, Event::Crashed { node: 1 });
    assert_eq!(next.over(), Ok(()));
    let before = Course::new().at(900, Event::Crashed { node: 0 });
    assert!(before.over().is_err(), "it has crashed before");
}

#[test]
fn what_others_hold_is_lost_only_with_all_of_them() {
    let crashes = |course: Course, nodes: &[NodeIndex]| {
        nodes.iter().fold(course, |course, node| course.at(2_000, Event::Crashed { node: *node }))
    };
    let course = || Course::new().at(1_500, stored("n1", &["n2", "n3"]));
    assert!(crashes(course(), &[0, 1]).over().unwrap_err().contains("others have held"));
    assert_eq!(crashes(course(), &[0, 1, 2]).over(), Ok(()));
    let next = || course().ends(1_600, 0).back(1_700, 1, 2, &[]).at(1_800, stored("n3", &["n2"]));
    assert!(crashes(next(), &[0, 1]).over().is_err(), "the next owner has it");
    assert_eq!(crashes(next(), &[2, 1]).over(), Ok(()), "the former owner is no holder any more");
    let stopped = course().at(1_900, Event::Stopping { node: 1 }).at(1_950, Event::Stopped { node: 1 });
    assert_eq!(crashes(stopped, &[0, 2]).over(), Ok(()), "who stops holds nothing any more");
}

#[test]
fn what_was_complete_is_judged_from_then_on() {
    let course = |resumed| {
        Course::new()
            .kept(1_001, 0, Kept::Flushed { at: at(7, 1), text: "m5".to_owned() })
            .at(1_500, Event::Crashed { node: 0 })
            .ends(1_500, 0)
            .back(1_600, 1, 1, &[at(7, 0)])
            .welcomed(1_600, 1, resumed)
            .over()
    };
    assert!(course(Resumed::Complete).is_err());
    assert_eq!(course(Resumed::Partial), Ok(()));
    // Nobody has written it, and all who held it are lost.
    let lost = |resumed| {
        let course = Course::new().at(1_100, stored("n1", &["n2"])).ends(1_200, 0);
        let course = course.at(1_500, Event::Crashed { node: 0 }).at(1_500, Event::Crashed { node: 1 });
        course.back(1_600, 1, 2, &[at(7, 0)]).welcomed(1_600, 1, resumed).over()
    };
    assert!(lost(Resumed::Complete).is_err());
    assert_eq!(lost(Resumed::Partial), Ok(()));
}

#[test]
fn what_an_owner_that_is_cut_off_keeps_for_too_long_is_not_in_what_is_complete() {
    let told = |reach| {
        let course = Course::new().at(1_100, stored("n1", &["n2"])).ends(1_200, 0);
        let course = course.back(1_700, 1, 2, &[at(7, 0)]).welcomed(1_700, 1, Resumed::Pending);
        let complete = Kept::Resumed { resumed: Resumed::Complete, missing: Vec::new() };
        course.apart((100, 1_300), true).apart((1_400, 9_000), reach).kept(12_000, 1, complete).over()
    };
    assert!(told(true).unwrap_err().contains("since 12000 ms"));
    assert_eq!(told(false), Ok(()), "it has not heard that the client is back");
}

#[test]
fn a_session_is_kept_for_so_long() {
    let away = |until_ms| Course::new().ends(2_000, 0).back(until_ms, 1, 0, &[]).over();
    assert!(away(9_900).is_err());
    assert_eq!(away(10_000), Ok(()));
    let apart = |reach| {
        let course = Course::new().ends(2_000, 0).back(4_000, 1, 1, &[]);
        course.apart((100, 3_000), true).apart((3_100, 6_000), reach).over()
    };
    assert!(apart(true).is_err());
    assert_eq!(apart(false), Ok(()), "the former node has not heard that the client is back");
}

#[test]
fn a_node_that_stops_leaves_it_to_another_one_or_loses_it() {
    let stop = |claim: Option<Event>, other_ms: Option<u64>| {
        let booted = other_ms.map(|at_ms| (at_ms, Event::Booted { node: 2, incarnation: 1 }));
        let course = booted.into_iter().fold(Course::new(), |course, (at_ms, event)| course.at(at_ms, event));
        let course = course.ends(1_500, 0).at(2_000, Event::Stopping { node: 0 });
        let course = claim.into_iter().fold(course, |course, claim| course.at(2_500, claim));
        course.at(3_000, Event::Stopped { node: 0 }).back(3_500, 1, 2, &[]).over()
    };
    assert_eq!(stop(None, None), Ok(()));
    assert!(stop(Some(claimed(1, 8)), None).is_err());
    assert!(stop(None, Some(0)).is_err(), "another one was there for it");
    assert_eq!(stop(None, Some(1_500)), Ok(()), "it may not have been ready");
}

#[test]
fn who_is_told_falsely_that_there_was_no_session_is_found() {
    let told = |named: &[Position], away_ms: u64| {
        Course::new()
            .at(1_100, got(0))
            .welcomed(1_200, 0, Resumed::None)
            .ends(2_000, 0)
            .back(2_000 + away_ms, 1, 1, named)
            .welcomed(2_000 + away_ms, 1, Resumed::None)
            .over()
    };
    assert!(told(&[at(0, 0)], 500).unwrap_err().contains("no session"));
    assert_eq!(told(&[at(0, 0)], 9_000), Ok(()), "it was kept for so long");
    assert_eq!(told(&[], 500), Ok(()), "it does not say that it had one");
}
