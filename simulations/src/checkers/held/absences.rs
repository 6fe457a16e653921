//! When clients were away: their nodes may take a connection for broken before they do, but not before they read nothing, or
//! nothing can be written to them.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::id::{ClientIndex, ConnectionId};

/// Since when and until when clients had no connection that was read.
#[derive(Default)]
pub(super) struct Absences {
    /// The latest connection of each client that has one.
    open: BTreeMap<ConnectionId, ClientIndex>,
    /// Since when connections are not read that are not.
    stalled_ms: BTreeMap<ConnectionId, u64>,
    /// Since when nothing could be written to connections to which nothing was since: their nodes may have given them up.
    full_ms: BTreeMap<ConnectionId, u64>,
    /// Those that are over, by client.
    over: BTreeMap<ClientIndex, Vec<(u64, u64)>>,
    /// Since when clients are away that are.
    away_ms: BTreeMap<ClientIndex, u64>,
}

impl Absences {
    /// Something happened.
    pub(super) fn event(&mut self, now_ms: u64, event: &Event) {
        match event {
            Event::Opened { connection, client, .. } => {
                // The session is that of the later connection; one before it may learn only much later that it is over.
                let before: Vec<_> =
                    self.open.iter().filter(|(_, of)| *of == client).map(|(before, _)| *before).collect();
                self.open.retain(|_, of| of != client);
                self.open.insert(*connection, *client);
                // The node may have parked the session while the connection before was not read.
                let unheard: Vec<_> = before.iter().filter_map(|before| self.unheard_ms(*before)).collect();
                let away =
                    unheard.into_iter().chain(self.away_ms.remove(client)).map(|since_ms| (since_ms, now_ms));
                self.over.entry(*client).or_default().extend(away);
            }
            Event::Stalled { connection, .. } => _ = self.stalled_ms.entry(*connection).or_insert(now_ms),
            Event::Full { connection, .. } => _ = self.full_ms.entry(*connection).or_insert(now_ms),
            Event::Flushed { connection, .. } => _ = self.full_ms.remove(connection),
            Event::Resumed { connection } => {
                // It was silent for so long, and its node may have parked the session in between.
                let since_ms = self.stalled_ms.remove(connection);
                if let Some((since_ms, client)) = since_ms.zip(self.open.get(connection)) {
                    self.over.entry(*client).or_default().push((since_ms, now_ms));
                    // It may learn only now that the connection is over.
                    self.stalled_ms.insert(*connection, since_ms);
                }
            }
            Event::Ended { connection, .. } => {
                let Some(client) = self.open.remove(connection) else { return };
                self.away_ms.insert(client, self.unheard_ms(*connection).unwrap_or(now_ms));
                self.stalled_ms.remove(connection);
                self.full_ms.remove(connection);
            }
            _ => {}
        }
    }

    /// Since when the client of a connection may have heard nothing on it.
    fn unheard_ms(&self, connection: ConnectionId) -> Option<u64> {
        let full_ms = self.full_ms.get(&connection);
        self.stalled_ms.get(&connection).into_iter().chain(full_ms).min().copied()
    }

    /// The longest time for which a client was away that ended after `since_ms`, in milliseconds.
    pub(super) fn longest_ms(&self, now_ms: u64, client: ClientIndex, since_ms: u64) -> u64 {
        let over = self.over.get(&client).into_iter().flatten().copied();
        let away = self.away_ms.get(&client).map(|since_ms| (*since_ms, now_ms));
        let within =
            over.chain(away).filter(|(from_ms, until_ms)| *until_ms >= since_ms && *from_ms <= now_ms);
        within.map(|(from_ms, until_ms)| until_ms.min(now_ms) - from_ms).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::End;

    /// Client 0 opens connection 1, and connection 2 while the first one has not ended; both end, in that order.
    fn away_ms(ends: [(ConnectionId, u64); 2], now_ms: u64) -> u64 {
        let mut absences = Absences::default();
        for connection in [1, 2] {
            absences.event(connection * 10, &Event::Opened { connection, client: 0, node: 0 });
        }
        for (connection, at_ms) in ends.into_iter().filter(|(_, at_ms)| *at_ms <= now_ms) {
            absences.event(at_ms, &Event::Ended { connection, end: End::Dropped });
        }
        absences.longest_ms(now_ms, 0, 0)
    }

    #[test]
    fn a_client_is_away_while_a_connection_is_not_read_that_another_one_follows() {
        let mut absences = Absences::default();
        absences.event(10, &Event::Opened { connection: 1, client: 0, node: 0 });
        absences.event(20, &Event::Stalled { connection: 1, for_ms: 90 });
        absences.event(80, &Event::Opened { connection: 2, client: 0, node: 0 });
        assert_eq!(absences.longest_ms(200, 0, 0), 60);
        absences.event(110, &Event::Resumed { connection: 1 });
        absences.event(111, &Event::Ended { connection: 1, end: End::Dropped });
        assert_eq!(absences.longest_ms(200, 0, 0), 60, "it is another one by now");
    }

    #[test]
    fn a_client_is_away_since_nothing_could_be_written_to_it_until_something_was() {
        let away_ms = |is_written| {
            let mut absences = Absences::default();
            absences.event(10, &Event::Opened { connection: 1, client: 0, node: 0 });
            absences.event(20, &Event::Full { connection: 1, for_ms: 5 });
            if is_written {
                absences.event(30, &Event::Flushed { connection: 1, text: "m1".to_owned() });
            }
            absences.event(60, &Event::Ended { connection: 1, end: End::Dropped });
            absences.longest_ms(100, 0, 0)
        };
        assert_eq!([true, false].map(away_ms), [40, 80]);
    }

    #[test]
    fn a_client_is_away_from_the_end_of_its_latest_connection_on_whatever_an_earlier_one_learns() {
        assert_eq!(away_ms([(1, 30), (2, 40)], 39), 0, "the earlier one was its own no more");
        assert_eq!(away_ms([(1, 30), (2, 40)], 100), 60);
        assert_eq!(away_ms([(2, 40), (1, 90)], 100), 60, "the earlier one learns later that it is over");
    }
}
