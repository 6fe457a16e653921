//! What a client says is heard by the application at its node: what it said and nothing else, once, in
//! order, and all of it unless the connection ends, its node crashes, or the client does not read: while
//! frames wait for a socket nothing is read from it. So it is as well where a socket is full for a while.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkers::bounds::CLOSE_MS_MAX;
use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::id::{ConnectionId, NodeIndex};
use crate::plan::LATENCY_MS_MAX;
use crate::world::LATE_ARRIVAL_MS_MAX;

/// Watches the messages of clients.
#[derive(Default)]
pub(super) struct Speech {
    /// The messages of each connection in order, and how many of them were heard, or passed over.
    said: BTreeMap<ConnectionId, (Vec<(u64, String)>, usize)>,
    ended_ms: BTreeMap<ConnectionId, u64>,
    /// From when and until when the sockets were full that were, the last time.
    full_ms: BTreeMap<ConnectionId, (u64, u64)>,
    /// Connections that are open or being made, with their nodes.
    open: BTreeMap<ConnectionId, NodeIndex>,
    /// Connections whose node need not hear everything.
    excused: BTreeSet<ConnectionId>,
    heard: u64,
}

impl Checker for Speech {
    fn name(&self) -> &'static str {
        "what clients say is heard once and in order"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Said { connection, text } => {
                self.said.entry(*connection).or_default().0.push((now_ms, text.clone()));
            }
            // The answer that lets it in may cross the end of its node.
            Event::Dialled { connection, node, .. } => _ = self.open.insert(*connection, *node),
            Event::Stalled { connection, .. } | Event::Blundered { connection } => {
                _ = self.excused.insert(*connection)
            }
            // It may give the client up before it hears what is on its way.
            Event::Crashed { node } | Event::HeldStill { node } => {
                let lost = self.open.iter().filter(|(_, at)| *at == node);
                self.excused.extend(lost.map(|(connection, _)| *connection));
            }
            Event::Full { connection, for_ms } => {
                let full = self.full_ms.entry(*connection).or_insert((now_ms, now_ms));
                // One that is full again before a close would have got out has been full all the time.
                let from_ms = if now_ms <= full.1 + CLOSE_MS_MAX { full.0 } else { now_ms };
                *full = (from_ms, now_ms + for_ms);
            }
            Event::Refused { connection, .. } => _ = self.open.remove(connection),
            Event::Ended { connection, .. } => {
                self.open.remove(connection);
                self.ended_ms.insert(*connection, now_ms);
            }
            Event::Heard { client, text, .. } => {
                self.heard += 1;
                return self.heard(text).map_err(|what| format!("client {client} said {text}: {what}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        for (connection, (said, heard)) in &self.said {
            let ended_ms = self.ended_ms.get(connection).copied().unwrap_or(u64::MAX);
            let full_ms = self.full_ms.get(connection).copied();
            let until_ms = full_ms.map_or(0, |(_, until_ms)| until_ms);
            // A node that closes while it cannot write reads nothing more until the close is given up.
            let closes = |at: u64| {
                full_ms.is_some_and(|(from_ms, until_ms)| {
                    at + ARRIVES_MS >= from_ms && ended_ms <= until_ms + CLOSE_MS_MAX
                })
            };
            if let Some((at, text)) = said.get(*heard)
                && !self.excused.contains(connection)
                && ended_ms > (*at).max(until_ms) + ARRIVES_MS
                && !closes(*at)
            {
                return Err(format!("connection {connection} said {text} at {at} ms, and nobody heard it"));
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("messages of clients heard", self.heard)
    }
}

impl Speech {
    fn heard(&mut self, text: &str) -> Result<(), String> {
        // The connection stands behind the message: see `Order::Say`.
        let connection = text.split_once('-').and_then(|(_, connection)| connection.parse().ok());
        let said = connection.and_then(|connection: ConnectionId| self.said.get_mut(&connection));
        let (said, next) = said.ok_or("nobody said so")?;
        if said.get(*next).is_none_or(|(_, expected)| expected != text) {
            return Err(format!("the next one is {:?}", said.get(*next)));
        }
        *next += 1;
        Ok(())
    }
}

/// How long a message is on its way at most, and a close that crosses it and its answer, in milliseconds.
const ARRIVES_MS: u64 = 4 * LATENCY_MS_MAX + LATE_ARRIVAL_MS_MAX + TICKS_MS;
/// For tasks to run: some ticks.
const TICKS_MS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::End;

    fn seen(heard: &[&str]) -> Result<(), String> {
        let mut checker = Speech::default();
        let said = ["s1-7", "s2-7"].map(|text| Event::Said { connection: 7, text: text.to_owned() });
        let heard = heard.iter().map(|text| Event::Heard { node: 0, client: 0, text: (*text).to_owned() });
        said.into_iter().chain(heard).try_for_each(|event| checker.event(0, &event))?;
        checker.end()
    }

    #[test]
    fn a_message_that_is_lost_doubled_swapped_or_invented_is_found() {
        assert_eq!(seen(&["s1-7", "s2-7"]), Ok(()));
        assert!(seen(&["s1-7"]).unwrap_err().contains("nobody heard"));
        assert!(seen(&["s1-7", "s1-7"]).is_err());
        assert!(seen(&["s2-7", "s1-7"]).is_err());
        assert!(seen(&["s1-8"]).unwrap_err().contains("nobody said"));
    }

    #[test]
    fn what_is_said_while_the_socket_is_full_may_be_cut_off_by_a_close_and_by_nothing_later() {
        let ends = |said_ms, ended_ms| {
            let mut checker = Speech::default();
            let connection = 7;
            let events = [
                (1_000, Event::Full { connection, for_ms: 500 }),
                (said_ms, Event::Said { connection, text: "s1-7".to_owned() }),
                (ended_ms, Event::Ended { connection, end: End::Dropped }),
            ];
            events.iter().try_for_each(|(at_ms, event)| checker.event(*at_ms, event))?;
            checker.end()
        };
        let closed = 1_500 + CLOSE_MS_MAX;
        assert_eq!((ends(1_200, closed), ends(1_200, 1_500)), (Ok(()), Ok(())));
        assert!(ends(1_200, closed + 1).is_err(), "nothing closes for so long");
        assert!(ends(500, closed).is_err(), "it was read before the socket was full");
    }

    #[test]
    fn a_node_that_crashed_while_it_let_a_client_in_owes_nothing() {
        let mut checker = Speech::default();
        let (connection, client, node) = (7, 0, 2);
        for event in [
            Event::Dialled { connection, client, node, resumed: None },
            Event::Crashed { node },
            Event::Opened { connection, client, node },
            Event::Said { connection, text: "s1-7".to_owned() },
        ] {
            checker.event(0, &event).unwrap();
        }
        assert_eq!(checker.end(), Ok(()));
    }
}
