//! Which messages other nodes hold for the owners of sessions, as those have said.

use std::collections::{BTreeMap, BTreeSet};

use crate::ask::message_id;
use crate::decision::{Decision, Stored};
use crate::event::Event;
use crate::id::{ClientIndex, NodeIndex, PushId, node_of};
use crate::position::Position;

/// What is held.
#[derive(Default)]
pub(super) struct Copied {
    /// The ids that were not chosen by who has pushed.
    ids: BTreeMap<PushId, String>,
    held: BTreeMap<(ClientIndex, String), Vec<Holding>>,
}

/// Who holds a message from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holding {
    /// From when on, in simulated milliseconds.
    pub(super) at_ms: u64,
    /// Those that hold it for the owner.
    pub(super) members: BTreeSet<NodeIndex>,
    /// The owner.
    pub(super) owner: NodeIndex,
    /// Where it stands.
    pub(super) at: Position,
}

impl Holding {
    /// The owner and those that hold it for that.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeIndex> {
        self.members.iter().copied().chain([self.owner])
    }
}

impl Copied {
    /// Something happened.
    pub(super) fn event(&mut self, at_ms: u64, event: &Event) {
        match event {
            Event::Named { push, id } => _ = self.ids.insert(*push, id.clone()),
            Event::Decided { by, decision: Decision::Stored(Stored { client, at, id, members }) } => {
                let members = members.iter().filter_map(|name| node_of(name.as_str())).collect();
                let holding =
                    node_of(by.as_str()).map(|owner| Holding { at_ms, members, owner, at: at.clone() });
                self.held.entry((*client, id.clone())).or_default().extend(holding);
            }
            _ => {}
        }
    }

    /// Who has held a push for a client, one after the other.
    pub(super) fn of(&self, client: ClientIndex, push: PushId) -> &[Holding] {
        let id = self.ids.get(&push).cloned().unwrap_or_else(|| message_id(push));
        self.held.get(&(client, id)).map_or(&[], Vec::as_slice)
    }
}
