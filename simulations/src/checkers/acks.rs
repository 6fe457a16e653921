//! Up to where clients of kept sessions have acknowledged, as far as nodes can know it: by a frame, or by a position that they
//! have named.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::event::kept::Kept;
use crate::id::{ClientIndex, ConnectionId};
use crate::position::{Position, Segment};

/// What all clients have said.
#[derive(Default)]
pub(super) struct Acks {
    clients: BTreeMap<ConnectionId, ClientIndex>,
    up_to: BTreeMap<(ClientIndex, Segment), u64>,
}

impl Acks {
    /// Something happened.
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Dialled { connection, client, .. } => _ = self.clients.insert(*connection, *client),
            Event::Kept { connection, what: Kept::Shown { after, .. } } => {
                after.iter().for_each(|at| self.said(*connection, at));
            }
            Event::Kept { connection, what: Kept::Acked(at) } => self.said(*connection, at),
            _ => {}
        }
    }

    fn said(&mut self, connection: ConnectionId, at: &Position) {
        let Some(client) = self.clients.get(&connection) else { return };
        let up_to = self.up_to.entry((*client, at.segment.clone())).or_default();
        *up_to = (*up_to).max(at.n);
    }

    /// Up to which number of a segment.
    pub(super) fn up_to(&self, client: ClientIndex, segment: &Segment) -> u64 {
        self.up_to.get(&(client, segment.clone())).copied().unwrap_or_default()
    }
}
