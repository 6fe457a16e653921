//! The segments that were taken over from other nodes. What their owners have accepted beside that comes late, with other numbers.

use std::collections::BTreeSet;

use crate::decision::Decision;
use crate::event::Event;
use crate::id::ClientIndex;
use crate::position::Segment;

/// The segments of clients that were taken over so.
#[derive(Default)]
pub(super) struct Sealed(BTreeSet<(ClientIndex, Segment)>);

impl Sealed {
    /// Something happened.
    pub(super) fn event(&mut self, event: &Event) {
        if let Event::Decided { decision: Decision::Sealed { client, segment }, .. } = event {
            self.0.insert((*client, segment.clone()));
        }
    }

    /// Whether that one was.
    pub(super) fn has(&self, client: ClientIndex, segment: &Segment) -> bool {
        self.0.contains(&(client, segment.clone()))
    }
}
