//! What is called stored is held by so many other nodes, as they have said.

use crate::checkers::checker::Checker;
use crate::checkers::copied::Copied;
use crate::event::Event;
use crate::id::{ClientIndex, PushId};

/// Keeps what was called stored.
#[derive(Default)]
pub(super) struct Stored {
    copied: Copied,
    said: Vec<Said>,
}

/// A push was called stored.
struct Said {
    at_ms: u64,
    client: ClientIndex,
    push: PushId,
    copies: u8,
}

impl Checker for Stored {
    fn name(&self) -> &'static str {
        "what is called stored is held by others"
    }

    fn event(&mut self, at_ms: u64, event: &Event) -> Result<(), String> {
        self.copied.event(at_ms, event);
        let Event::Answered { push, sessions, .. } = event else { return Ok(()) };
        for answer in sessions.iter().filter(|answer| answer.copies > 0) {
            let Some(client) = answer.client else {
                return Err(format!("push {push} was called stored at {answer:?}, which is nobody"));
            };
            self.said.push(Said { at_ms, client, push: *push, copies: answer.copies });
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        for Said { at_ms, client, push, copies } in &self.said {
            let held = self.copied.of(*client, *push);
            let mut before = held.iter().filter(|holding| holding.at_ms <= *at_ms);
            if !before.any(|holding| holding.members.len() >= usize::from(*copies)) {
                return Err(format!(
                    "push {push} for client {client} was said at {at_ms} ms to be held by {copies} other nodes, and is held so: {held:?}"
                ));
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("pushes called stored", self.said.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answer;
    use crate::decision;
    use crate::position::Position;
    use pushmesh::{NodeName, Outcome};

    #[test]
    fn what_is_called_stored_before_so_many_hold_it_is_found() {
        let held = |client, id: &str, members: &[&str]| {
            let members = members.iter().map(|name| NodeName::new(*name).unwrap()).collect();
            let at = Position::new("00000000000000070000000a.1").unwrap();
            let stored = decision::Stored { client, at, id: id.to_owned(), members };
            let by = NodeName::new("n1").unwrap();
            Event::Decided { by, decision: decision::Decision::Stored(stored) }
        };
        let said = |copies| {
            let outcome = Outcome::Queued;
            let answer = Answer { client: Some(0), node: Some("n1".to_owned()), outcome, copies };
            Event::Answered { push: 5, sessions: vec![answer], delivered: 0 }
        };
        let seen = |events: &[(u64, Event)]| {
            let mut checker = Stored::default();
            events.iter().try_for_each(|(at_ms, event)| checker.event(*at_ms, event))?;
            checker.end()
        };
        let named = |id: &str| Event::Named { push: 5, id: id.to_owned() };
        assert_eq!(seen(&[(1, said(0))]), Ok(()));
        assert!(seen(&[(1, said(1))]).is_err());
        assert_eq!(seen(&[(1, said(1)), (1, held(0, "p5", &["n2"]))]), Ok(()), "the log is read afterwards");
        assert!(seen(&[(1, said(1)), (2, held(0, "p5", &["n2"]))]).is_err());
        assert!(seen(&[(1, held(0, "p5", &["n2"])), (1, said(2))]).is_err());
        assert!(seen(&[(1, held(1, "p5", &["n2"])), (1, said(1))]).is_err());
        assert_eq!(seen(&[(1, held(0, "x-1", &["n2"])), (1, named("x-1")), (1, said(1))]), Ok(()));
    }
}
