//! A session that has let go gives no more numbers: what was pushed after its end is in no segment of it.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::NodeName;

use crate::checkers::arrival::push_of;
use crate::checkers::checker::Checker;
use crate::decision::{Decision, Ended};
use crate::event::Event;
use crate::event::kept::Kept;
use crate::id::{ClientIndex, ConnectionId, PushId};
use crate::position::Position;

/// Watches sessions that have ended for another claim.
#[derive(Default)]
pub(super) struct Frozen {
    clients: BTreeMap<ConnectionId, ClientIndex>,
    pushed_ms: BTreeMap<PushId, u64>,
    /// Who has made the claims of a client. Two nodes may have made some with one stamp.
    claimed: BTreeMap<(ClientIndex, u64), BTreeSet<NodeName>>,
    /// When they ended.
    ended_ms: BTreeMap<(ClientIndex, u64), u64>,
    compared: u64,
}

impl Checker for Frozen {
    fn name(&self) -> &'static str {
        "a session that has let go gives no more numbers"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { connection, client, .. } => _ = self.clients.insert(*connection, *client),
            Event::Pushed { push, .. } => _ = self.pushed_ms.insert(*push, now_ms),
            Event::Decided { by, decision: Decision::Claimed { client, stamp, .. } } => {
                self.claimed.entry((*client, *stamp)).or_default().insert(by.clone());
            }
            Event::Decided { decision: Decision::Ended(Ended { client, stamp, .. }), .. } => {
                self.ended_ms.entry((*client, *stamp)).or_insert(now_ms);
            }
            Event::Kept {
                connection,
                what: Kept::Flushed { at, text } | Kept::Received { at, text, .. },
            } => {
                if let Some((push, client)) = push_of(text).zip(self.clients.get(connection).copied()) {
                    return self.numbered(client, at, push);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("messages of sessions that have let go", self.compared)
    }
}

impl Frozen {
    fn numbered(&mut self, client: ClientIndex, at: &Position, push: PushId) -> Result<(), String> {
        let session = (client, at.segment.stamp());
        let only = self.claimed.get(&session).is_some_and(|nodes| nodes.len() == 1);
        let Some(ended_ms) = self.ended_ms.get(&session).filter(|_| only) else { return Ok(()) };
        self.compared += 1;
        match self.pushed_ms.get(&push).filter(|pushed_ms| *pushed_ms > ended_ms) {
            None => Ok(()),
            Some(pushed_ms) => Err(format!(
                "push {push} of {pushed_ms} ms got the position {at} of client {client}, whose session ended at {ended_ms} ms"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use pushmesh::internals::Rival;

    use super::*;
    use crate::aim::Aim;
    use crate::decision::Why;
    use crate::event::Way;
    use crate::position::Segment;

    fn seen(pushed_ms: u64, claimants: &[&str]) -> Result<(), String> {
        let mut checker = Frozen::default();
        let node = |name: &&str| NodeName::new(*name).unwrap();
        let claimed = Decision::Claimed { client: 0, stamp: 7, resumed: None, away: false };
        let claims = claimants.iter().map(|by| Event::Decided { by: node(by), decision: claimed.clone() });
        let ended = Ended {
            client: 0,
            stamp: 7,
            why: Why::Asked,
            winner: node(&"n2"),
            winner_stamp: 8,
            rival: Rival::SameDevice,
        };
        let ended = Event::Decided { by: node(&"n1"), decision: Decision::Ended(ended) };
        let at = Position { segment: Segment::new("00000000000000070000000a").unwrap(), n: 3 };
        let way = Way::Http;
        let pushed = Event::Pushed { push: 5, node: 0, aim: Aim::Client(0), found: Vec::new(), way };
        let mut events: Vec<_> = claims.map(|claim| (1, claim)).collect();
        events.push((1, Event::Dialled { connection: 1, client: 0, node: 0, resumed: None }));
        events.extend([(10, ended), (pushed_ms, pushed)]);
        let received = Kept::Received { at, id: String::new(), text: "m5".to_owned(), taken: true };
        events.push((20, Event::Kept { connection: 1, what: received }));
        events.iter().try_for_each(|(at_ms, event)| checker.event(*at_ms, event))
    }

    #[test]
    fn a_number_that_was_given_after_the_end_is_found() {
        assert_eq!(seen(10, &["n1"]), Ok(()));
        assert!(seen(11, &["n1"]).is_err());
        assert_eq!(seen(11, &["n1", "n3"]), Ok(()), "which of them ended is not known");
    }
}
