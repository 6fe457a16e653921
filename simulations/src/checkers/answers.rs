//! Every push gets one answer for each session that its node saw, every outcome is one of those that
//! are documented, and the status of a call is that of its best outcome: section 2.1 of
//! docs/PROTOCOL.md.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::{Outcome, Wait};

use crate::aim::Aim;
use crate::answer::Answer;
use crate::ask::Ask;
use crate::checkers::checker::Checker;
use crate::event::{Event, Way};
use crate::id::{CallId, PushId};
use crate::reply::{Fate, Reply};

/// Watches all answers.
#[derive(Default)]
pub(super) struct Answers {
    pushes: BTreeMap<PushId, (Aim, Way)>,
    calls: BTreeMap<CallId, Ask>,
    compared: u64,
}

impl Checker for Answers {
    fn name(&self) -> &'static str {
        "answers are complete and as documented"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Pushed { push, aim, way, .. } => _ = self.pushes.insert(*push, (*aim, *way)),
            Event::Called { call, ask, .. } => _ = self.calls.insert(*call, ask.clone()),
            Event::Answered { push, sessions, .. } => {
                let Some((aim, way)) = self.pushes.remove(push) else { return Ok(()) };
                self.compared += 1;
                answered(aim, way, sessions).map_err(|what| format!("push {push} for {aim:?}: {what}"))?;
            }
            Event::Replied { call, status, reply } => {
                let Some(ask) = self.calls.get(call) else { return Ok(()) };
                self.compared += 1;
                replied(ask, *status, reply)
                    .map_err(|what| format!("{ask:?} was answered with {status} {reply:?}: {what}"))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("answers to pushes and calls", self.compared)
    }
}

fn answered(aim: Aim, way: Way, sessions: &[Answer]) -> Result<(), String> {
    if let Way::Embedded { sessions: Some(seen) } = way
        && sessions.len() != seen
    {
        return Err(format!("{} answers for {seen} sessions", sessions.len()));
    }
    let mut named = BTreeSet::new();
    for answer in sessions {
        if answer.outcome == Outcome::IdReused && way != Way::Http {
            return Err("an id is reused that nobody chose".to_owned());
        }
        if matches!(answer.outcome, Outcome::Moved { .. } | Outcome::Unknown | Outcome::NotReady) {
            return Err(format!("{} is said of a session", answer.outcome.as_str()));
        }
        // In the answer to a push to one session the device is there in any case.
        if answer.client.is_none() && matches!(aim, Aim::Client(_)) {
            return Err("its device is not named".to_owned());
        }
        if answer.node.is_none() != (answer.outcome == Outcome::NoSession) {
            return Err(format!("{answer:?} has the wrong node"));
        }
        if let Some(client) = answer.client
            && (!aim.includes(client) || !named.insert(client))
        {
            return Err(format!("client {client} is answered for"));
        }
    }
    Ok(())
}

fn replied(ask: &Ask, status: u16, reply: &Reply) -> Result<(), String> {
    match (ask, reply) {
        (_, Reply::Odd(why)) => Err(why.clone()),
        (_, Reply::Refused(code)) => {
            let fits = matches!((status, code.as_str()), (503, "overloaded" | "not_ready" | "isolated"));
            fits.then_some(()).ok_or_else(|| "no error that can happen here".to_owned())
        }
        (Ask::Push(aim, terms), Reply::Pushed(fates)) => {
            fates.iter().try_for_each(|fate| one(*aim, terms.wait, status, fate))
        }
        (Ask::Repeat { client, .. }, Reply::Pushed(fates)) => {
            let [fate] = &fates[..] else { return Err("one push has one outcome".to_owned()) };
            answered(Aim::Client(*client), Way::Http, &fate.sessions)?;
            one(Aim::Client(*client), Wait::Receipt, status, fate)
        }
        (Ask::Batch(aims), Reply::Pushed(fates)) => {
            if status != 200 {
                return Err("the lines have outcomes, the call has none".to_owned());
            }
            aims.iter().zip(fates).try_for_each(|(aim, fate)| line(*aim, fate))
        }
        (Ask::Kick(aim), Reply::Kicked(sessions)) => {
            answered(*aim, Way::Http, sessions)?;
            let best = best(sessions);
            // Without a session the node may be isolated, or still joining: then it cannot know.
            let none = sessions.iter().all(|at| at.outcome == Outcome::NoSession);
            let fits = status == best.0 || (none && status == 503);
            fits.then_some(()).ok_or_else(|| format!("the best outcome is {}", best.1))
        }
        _ if status == 200 => Ok(()),
        _ => Err("an answer that is no error".to_owned()),
    }
}

fn one(aim: Aim, wait: Wait, status: u16, fate: &Fate) -> Result<(), String> {
    if aim == Aim::All {
        return if status == 200 { Ok(()) } else { Err("a broadcast has counts".to_owned()) };
    }
    if wait != Wait::Stored && fate.sessions.iter().any(|at| at.copies > 0) {
        return Err("nobody has asked for copies".to_owned());
    }
    let stored = |at: &&Answer| at.copies > 0 || at.outcome == Outcome::Acked;
    let (expected, word) = match best(&fate.sessions) {
        (200, _) if wait == Wait::Stored => match fate.sessions.iter().any(|at| stored(&at)) {
            true => best(&fate.sessions.iter().filter(stored).cloned().collect::<Vec<_>>()),
            false => (504, "not_stored"),
        },
        best => best,
    };
    let fits = match fate.word.as_deref() {
        None => status == 200 && expected == 200,
        Some("isolated" | "not_ready") => {
            status == 503 && fate.sessions.iter().all(|at| at.outcome == Outcome::NoSession)
        }
        Some(code) => status == expected && code == word,
    };
    fits.then_some(()).ok_or_else(|| format!("the best outcome is {word}"))
}

fn line(aim: Aim, fate: &Fate) -> Result<(), String> {
    let word = best(&fate.sessions).1;
    match fate.word.as_deref() {
        None if aim == Aim::All => Ok(()),
        // A broadcast that was not sent has no sessions.
        Some("unknown" | "not_ready") if fate.sessions.iter().all(|at| at.outcome == Outcome::NoSession) => {
            Ok(())
        }
        Some(said) if said == word && aim != Aim::All => Ok(()),
        said => Err(format!("a line says {said:?}, and the best outcome is {word}")),
    }
}

/// The status and the word of the best outcome.
fn best(sessions: &[Answer]) -> (u16, &'static str) {
    let order = [
        (Outcome::Acked, 200),
        (Outcome::Delivered, 200),
        (Outcome::Queued, 200),
        (Outcome::Buffered, 200),
        (Outcome::IdReused, 409),
        (Outcome::Overloaded, 503),
        (Outcome::Interrupted, 502),
        (Outcome::Unreachable, 504),
    ];
    let met = |outcome: &Outcome| sessions.iter().any(|answer| answer.outcome == *outcome);
    let best = order.iter().find(|(outcome, _)| met(outcome));
    best.map_or((404, "no_session"), |(outcome, status)| (*status, outcome.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(client: usize, outcome: Outcome) -> Answer {
        Answer { client: Some(client), node: Some("n1".to_owned()), outcome, copies: 0 }
    }

    #[test]
    fn an_answer_that_is_missing_or_too_many_is_found() {
        let check =
            |sessions: &[Answer]| answered(Aim::User(0), Way::Embedded { sessions: Some(2) }, sessions);
        let [first, second] = [at(0, Outcome::Delivered), at(1, Outcome::Buffered)];
        assert_eq!(check(&[first.clone(), second]), Ok(()));
        assert!(check(std::slice::from_ref(&first)).unwrap_err().contains("2 sessions"));
        assert!(check(&[first.clone(), first.clone()]).unwrap_err().contains("client 0"));
        assert!(check(&[first, at(9, Outcome::Delivered)]).unwrap_err().contains("client 9"));
    }

    #[test]
    fn an_outcome_that_no_session_has_is_found() {
        let check = |outcome| answered(Aim::Client(0), Way::Http, &[at(0, outcome)]);
        assert_eq!(check(Outcome::Overloaded), Ok(()));
        assert!(check(Outcome::Unknown).is_err());
        assert!(check(Outcome::NoSession).unwrap_err().contains("wrong node"));
    }

    #[test]
    fn the_status_is_that_of_the_best_outcome() {
        let check = |status, word: Option<&str>, sessions: Vec<Answer>| {
            let fate = Fate { sessions, delivered: 0, word: word.map(str::to_owned) };
            one(Aim::User(0), Wait::Receipt, status, &fate)
        };
        let mixed = || vec![at(0, Outcome::Unreachable), at(1, Outcome::Interrupted)];
        assert_eq!(check(502, Some("interrupted"), mixed()), Ok(()));
        assert!(check(504, Some("unreachable"), mixed()).is_err());
        assert!(check(200, None, mixed()).is_err());
        assert_eq!(check(503, Some("isolated"), Vec::new()), Ok(()));
        assert!(check(503, Some("isolated"), mixed()).is_err());
        assert_eq!(check(503, Some("not_ready"), Vec::new()), Ok(()));
        assert!(check(503, Some("not_ready"), mixed()).is_err());
        assert!(replied(&Ask::Stats, 400, &Reply::Refused("bad_request".to_owned())).is_err());
    }

    #[test]
    fn a_disconnect_of_nobody_is_not_found_or_not_known() {
        let check = |status, sessions| replied(&Ask::Kick(Aim::Client(0)), status, &Reply::Kicked(sessions));
        let nobody = || vec![Answer { node: None, ..at(0, Outcome::NoSession) }];
        for status in [404, 503] {
            assert_eq!((check(status, nobody()), check(status, Vec::new())), (Ok(()), Ok(())));
            assert!(check(status, vec![at(0, Outcome::Delivered)]).is_err());
        }
        assert!(check(200, nobody()).is_err());
    }
}
