//! Clients with several connections at once: who claims against whom.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Event;
use crate::id::{ClientIndex, ConnectionId, NodeIndex};

/// The connections that are open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Together(BTreeMap<ConnectionId, (ClientIndex, NodeIndex)>);

impl Together {
    /// Something happened; the case that it is.
    pub(super) fn event(&mut self, event: &Event) -> Option<&'static str> {
        match event {
            Event::Opened { connection, client, node } => {
                let others = self.0.values().filter(|(of, _)| of == client).map(|(_, at)| *at);
                let others: BTreeSet<_> = others.collect();
                self.0.insert(*connection, (*client, *node));
                match (others.contains(node), others.len()) {
                    (_, 0) => None,
                    (true, _) => Some("client: connected once more to its node"),
                    (false, 1) => Some("client: connected to two nodes"),
                    (false, _) => Some("client: connected to three nodes"),
                }
            }
            Event::Ended { connection, .. } => {
                self.0.remove(connection);
                None
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::End;

    #[test]
    fn only_connections_of_one_client_that_are_open_count() {
        let mut together = Together::default();
        let mut open = |connection, client, node| together.event(&Event::Opened { connection, client, node });
        assert_eq!((open(1, 7, 0), open(2, 8, 0)), (None, None));
        assert_eq!(open(3, 7, 0), Some("client: connected once more to its node"));
        assert_eq!(open(4, 7, 1), Some("client: connected to two nodes"));
        assert_eq!(open(5, 7, 2), Some("client: connected to three nodes"));
        for connection in [1, 3, 4, 5] {
            together.event(&Event::Ended { connection, end: End::Dropped });
        }
        assert_eq!(together.event(&Event::Opened { connection: 6, client: 7, node: 1 }), None);
    }
}
