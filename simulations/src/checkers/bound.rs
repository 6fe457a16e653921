//! No call takes longer than its bound, whatever happens to other nodes.

use std::collections::BTreeMap;

use pushmesh::limits;

use crate::checkers::Checker;
use crate::event::{Event, NodeIndex, PushId};
use crate::host::Boot;

/// Watches the pushes that are not answered yet.
#[derive(Default)]
pub(super) struct Bound {
    /// When each was made, and where.
    pending: BTreeMap<PushId, (u64, NodeIndex)>,
    answered: u64,
}

impl Checker for Bound {
    fn name(&self) -> &'static str {
        "no call takes longer than its bound"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Pushed { push, node, .. } => _ = self.pending.insert(*push, (now_ms, *node)),
            Event::Answered { push, .. } | Event::Rejected { push, .. } => {
                let Some(_) = self.pending.remove(push) else {
                    return Err(format!("push {push} was answered twice"));
                };
                self.answered += 1;
            }
            Event::Crashed { node } => self.pending.retain(|_, (_, at)| at != node),
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, _: &[Option<Boot>]) -> Result<(), String> {
        // The first is the oldest.
        match self.pending.first_key_value() {
            Some((push, (since, node))) if now_ms > since + BOUND_MS => {
                Err(format!("push {push} entered node {node} at {since} ms and is not answered"))
            }
            _ => Ok(()),
        }
    }

    fn compared(&self) -> (&'static str, u64) {
        ("pushes answered", self.answered)
    }
}

/// The push timeout, and some ticks for its tasks to run.
const BOUND_MS: u64 = limits::PUSH_TIMEOUT.as_millis() as u64 + 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Aim;

    #[test]
    fn a_push_that_is_answered_too_late_is_found() {
        let mut checker = Bound::default();
        checker.event(5, &Event::Pushed { push: 1, node: 0, aim: Aim::All, found: Vec::new() }).unwrap();
        assert_eq!(checker.tick(5 + BOUND_MS, &[]), Ok(()));
        assert!(checker.tick(6 + BOUND_MS, &[]).is_err());
        checker.event(9_999, &Event::Crashed { node: 0 }).unwrap();
        assert_eq!(checker.tick(10_000, &[]), Ok(()), "a node that crashed owes nothing");
    }
}
