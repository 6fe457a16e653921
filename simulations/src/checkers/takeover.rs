//! Who is replaced is replaced by somebody: a session never takes over itself, and of several that
//! claim a key one stays.

use std::collections::BTreeMap;

use crate::checkers::Checker;
use crate::event::{ConnectionId, End, Event, user_of};

/// Watches the connections of each user, because policies set devices against each other.
#[derive(Default)]
pub(super) struct Takeover {
    users: BTreeMap<usize, BTreeMap<ConnectionId, Connection>>,
    of: BTreeMap<ConnectionId, usize>,
    replaced: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Connection {
    dialled_ms: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is being made, or open.
    Alive,
    /// It was replaced.
    Replaced,
    /// It ended in another way, then: it may have replaced others before, and where its node does not
    /// know yet that it is over, it may do so for a while.
    Over(u64),
}

impl Checker for Takeover {
    fn name(&self) -> &'static str {
        "who is replaced is replaced by somebody"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { connection, client, .. } => {
                self.of.insert(*connection, user_of(*client));
                self.users
                    .entry(user_of(*client))
                    .or_default()
                    .insert(*connection, Connection { dialled_ms: now_ms, state: State::Alive });
            }
            Event::Refused { connection, .. } => self.end(*connection, State::Over(now_ms)),
            Event::Ended { connection, end: End::Closed(Some(REPLACED)) } => {
                self.end(*connection, State::Replaced);
                return self.replaced(*connection);
            }
            Event::Ended { connection, .. } => self.end(*connection, State::Over(now_ms)),
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("connections replaced", self.replaced)
    }
}

impl Takeover {
    fn end(&mut self, connection: ConnectionId, state: State) {
        let user = self.of.get(&connection);
        let all = user.and_then(|user| self.users.get_mut(user));
        if let Some(known) = all.and_then(|all| all.get_mut(&connection)) {
            known.state = state;
        }
    }

    fn replaced(&mut self, connection: ConnectionId) -> Result<(), String> {
        self.replaced += 1;
        let Some(all) = self.of.get(&connection).and_then(|user| self.users.get(user)) else {
            return Err(format!("connection {connection} was never made"));
        };
        let since = all[&connection].dialled_ms.saturating_sub(HAUNT_MS_MAX);
        let by = |other: &Connection| match other.state {
            State::Alive => true,
            State::Replaced => false,
            State::Over(at_ms) => at_ms >= since,
        };
        if !all.values().any(by) {
            return Err(format!("connection {connection} was replaced, and so were all others: {all:?}"));
        }
        Ok(())
    }
}

/// Close code of a session that another one replaces.
const REPLACED: u16 = 4001;
/// How long a connection that its client has given up may still be made by its node, in milliseconds.
/// Source: above the longest time for which a plan lets a node hold still.
const HAUNT_MS_MAX: u64 = 15_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn dialled(connection: ConnectionId) -> Event {
        Event::Dialled { connection, client: 0, node: 0 }
    }

    fn ended(connection: ConnectionId, end: End) -> Event {
        Event::Ended { connection, end }
    }

    fn seen(events: &[Event]) -> Result<(), String> {
        let mut checker = Takeover::default();
        events.iter().try_for_each(|event| checker.event(0, event))
    }

    #[test]
    fn a_session_that_takes_over_itself_is_found() {
        assert!(seen(&[dialled(1), ended(1, End::Closed(Some(REPLACED)))]).is_err());
    }

    #[test]
    fn claimants_that_all_lose_are_found() {
        let first = ended(1, End::Closed(Some(REPLACED)));
        assert_eq!(seen(&[dialled(1), dialled(2), first.clone()]), Ok(()));
        let second = ended(2, End::Closed(Some(REPLACED)));
        assert!(seen(&[dialled(1), dialled(2), first.clone(), second.clone()]).is_err());
        let gone = ended(2, End::Dropped);
        assert_eq!(
            seen(&[dialled(1), dialled(2), gone.clone(), first.clone()]),
            Ok(()),
            "it was there before"
        );
        let mut late = Takeover::default();
        let events = [(0, dialled(2)), (0, gone), (2 * HAUNT_MS_MAX, dialled(1))];
        events.iter().for_each(|(at, event)| late.event(*at, event).unwrap());
        assert!(late.event(2 * HAUNT_MS_MAX, &first).is_err());
    }
}
