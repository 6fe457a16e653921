//! A gap has its reason: what is called expired had a time to live, and it has passed; what is called acknowledged was.

use std::collections::BTreeMap;

use crate::checkers::acks::Acks;
use crate::checkers::arrival::push_of;
use crate::checkers::checker::Checker;
use crate::checkers::sealed::Sealed;
use crate::event::Event;
use crate::event::kept::Kept;
use crate::id::{ClientIndex, ConnectionId, PushId};
use crate::position::{Position, Segment};

/// Watches all gaps.
#[derive(Default)]
pub(super) struct Gaps {
    clients: BTreeMap<ConnectionId, ClientIndex>,
    /// When a push was made, and how long it may wait, in milliseconds.
    pushes: BTreeMap<PushId, (u64, Option<u64>)>,
    /// Which pushes are known to stand where.
    places: BTreeMap<(ClientIndex, Position), PushId>,
    acks: Acks,
    sealed: Sealed,
    told: u64,
}

impl Checker for Gaps {
    fn name(&self) -> &'static str {
        "a gap has its reason"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        self.acks.event(event);
        self.sealed.event(event);
        match event {
            Event::Dialled { connection, client, .. } => _ = self.clients.insert(*connection, *client),
            Event::Called { ask, pushes, .. } => {
                let ttl_ms = ask.ttl_s().map(|ttl_s| u64::from(ttl_s) * 1_000);
                self.pushes.extend(pushes.iter().map(|push| (*push, (now_ms, ttl_ms))));
            }
            Event::Pushed { push, .. } => _ = self.pushes.entry(*push).or_insert((now_ms, None)),
            Event::Kept { connection, what } => {
                let Some(client) = self.clients.get(connection).copied() else { return Ok(()) };
                match what {
                    Kept::Flushed { at, text } | Kept::Received { at, text, .. } => {
                        self.places.extend(push_of(text).map(|push| ((client, at.clone()), push)));
                    }
                    Kept::Gap { segment, from, to, why } => {
                        self.told += 1;
                        return self.justified(now_ms, client, (segment, *from, *to), why);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("gaps of kept sessions", self.told)
    }
}

impl Gaps {
    fn justified(
        &self,
        now_ms: u64,
        client: ClientIndex,
        (segment, from, to): (&Segment, u64, u64),
        why: &str,
    ) -> Result<(), String> {
        let wrong = |what: &str| {
            format!("client {client} is told that {from} to {to} of {segment:?} are {why}: {what}")
        };
        match why {
            "acknowledged" if self.acks.up_to(client, segment) >= to => Ok(()),
            // The client has got it with another number, and has acknowledged that.
            "acknowledged" if self.sealed.has(client, segment) => Ok(()),
            // Who has it from those who held it does not know of what has expired: that was dropped there as well.
            "acknowledged" if self.may_have_expired(now_ms, client, (segment, from, to)) => Ok(()),
            "acknowledged" => Err(wrong("it has not said so")),
            "expired" => {
                let position = |n| (client, Position { segment: segment.clone(), n });
                let known = self.places.range(position(from)..=position(to));
                for (_, push) in known {
                    let (made_ms, ttl_ms) = self.pushes.get(push).copied().unwrap_or_default();
                    if ttl_ms.is_none_or(|ttl_ms| now_ms < made_ms + ttl_ms) {
                        return Err(wrong(&format!(
                            "push {push} was made at {made_ms} ms, for {ttl_ms:?} ms"
                        )));
                    }
                }
                Ok(())
            }
            _ => Err(wrong("there is no such reason")),
        }
    }
}

impl Gaps {
    /// Whether these places may be of messages that have expired: nobody was seen to write one of them, and there are messages that
    /// have expired and whose place is not known.
    fn may_have_expired(
        &self,
        now_ms: u64,
        client: ClientIndex,
        (segment, from, to): (&Segment, u64, u64),
    ) -> bool {
        let position = |n| (client, Position { segment: segment.clone(), n });
        let unknown = self.places.range(position(from)..=position(to)).next().is_none();
        let placed = |push| self.places.iter().any(|((of, _), placed)| *of == client && *placed == push);
        let expired = self
            .pushes
            .iter()
            .filter(|(_, (made_ms, ttl_ms))| ttl_ms.is_some_and(|ttl_ms| now_ms >= made_ms + ttl_ms));
        unknown && expired.map(|(push, _)| *push).any(|push| !placed(push))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aim::Aim;
    use crate::ask::{Ask, Terms};

    fn segment() -> Segment {
        Segment::new("00000000000000070000000a").unwrap()
    }

    fn seen(ttl_s: Option<u32>, acked: Option<u64>, why: &str, at_ms: u64) -> Result<(), String> {
        let mut checker = Gaps::default();
        let at = |n| Position { segment: segment(), n };
        let kept = |what| Event::Kept { connection: 1, what };
        let ask = Ask::Push(Aim::Client(0), Terms { ttl_s, wait: pushmesh::Wait::Receipt });
        let mut events = vec![
            Event::Dialled { connection: 1, client: 0, node: 0, resumed: None },
            Event::Called { call: 1, node: 0, ask, pushes: vec![5] },
            kept(Kept::Flushed { at: at(2), text: "m5".to_owned() }),
        ];
        events.extend(acked.map(|n| kept(Kept::Acked(at(n)))));
        events.iter().try_for_each(|event| checker.event(1_000, event))?;
        checker.event(at_ms, &kept(Kept::Gap { segment: segment(), from: 1, to: 3, why: why.to_owned() }))
    }

    #[test]
    fn a_gap_without_its_reason_is_found() {
        assert_eq!(seen(Some(2), None, "expired", 3_000), Ok(()));
        assert!(seen(Some(2), None, "expired", 2_999).is_err());
        assert!(seen(None, None, "expired", 9_000).is_err());
        assert_eq!(seen(None, Some(3), "acknowledged", 1_000), Ok(()));
        assert!(seen(None, Some(2), "acknowledged", 1_000).is_err());
        assert!(seen(Some(2), Some(2), "acknowledged", 9_000).is_err(), "it is known to have been written");
        assert!(seen(Some(0), Some(3), "lost", 1_000).is_err());
    }

    #[test]
    fn what_nobody_was_seen_to_write_may_have_expired_where_others_held_the_rest() {
        let mut checker = Gaps::default();
        let ask = Ask::Push(Aim::Client(0), Terms { ttl_s: Some(2), wait: pushmesh::Wait::Receipt });
        let dialled = Event::Dialled { connection: 1, client: 0, node: 0, resumed: None };
        checker.event(1_000, &dialled).unwrap();
        checker.event(1_000, &Event::Called { call: 1, node: 0, ask, pushes: vec![5] }).unwrap();
        let gap = Kept::Gap { segment: segment(), from: 1, to: 1, why: "acknowledged".to_owned() };
        let gap = Event::Kept { connection: 1, what: gap };
        assert!(checker.event(2_999, &gap).is_err(), "nothing has expired");
        assert_eq!(checker.event(3_000, &gap), Ok(()));
    }
}
