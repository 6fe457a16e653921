//! When clients were at a node for a while, and read: what is held for them comes in such a time, or never.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::id::{ClientIndex, ConnectionId, NodeIndex};

/// The connections of clients, each for as long as it was read.
#[derive(Default)]
pub(super) struct Stays {
    open: BTreeMap<ConnectionId, (ClientIndex, Stay)>,
    over: BTreeMap<ClientIndex, Vec<Stay>>,
}

/// A client is at a node and reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stay {
    pub(super) node: NodeIndex,
    pub(super) from_ms: u64,
    pub(super) until_ms: u64,
}

impl Stays {
    /// Something happened.
    pub(super) fn event(&mut self, now_ms: u64, event: &Event) {
        match event {
            Event::Opened { connection, client, node } => {
                let stay = Stay { node: *node, from_ms: now_ms, until_ms: u64::MAX };
                self.open.insert(*connection, (*client, stay));
            }
            Event::Stalled { connection, .. } | Event::Ended { connection, .. } => {
                self.end(now_ms, |open, _| open == *connection);
            }
            // The client learns it later.
            Event::Crashed { node } | Event::Failed { node, .. } | Event::Stopping { node } => {
                self.end(now_ms, |_, stay| stay.node == *node);
            }
            _ => {}
        }
    }

    fn end(&mut self, now_ms: u64, is_over: impl Fn(ConnectionId, &Stay) -> bool) {
        self.open.retain(|open, (client, stay)| {
            let ends = is_over(*open, stay);
            if ends {
                self.over.entry(*client).or_default().push(Stay { until_ms: now_ms, ..*stay });
            }
            !ends
        });
    }

    /// All of a client that began after that, and lasted for so long by now. What of a stay is before `from_ms` does not count.
    pub(super) fn of(
        &self,
        client: ClientIndex,
        (after_ms, now_ms): (u64, u64),
        lasted_ms: u64,
        from_ms: u64,
    ) -> impl Iterator<Item = Stay> {
        let open = self.open.values().filter(move |(of, _)| *of == client).map(|(_, stay)| stay);
        let all = self.over.get(&client).into_iter().flatten().chain(open).copied();
        let late = all.map(move |stay| Stay { from_ms: stay.from_ms.max(from_ms), ..stay });
        late.filter(move |stay| {
            stay.from_ms >= after_ms && stay.until_ms.min(now_ms) >= stay.from_ms + lasted_ms
        })
    }
}
