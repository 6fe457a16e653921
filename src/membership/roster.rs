//! What the rest of the node reads of the overlay: a snapshot that is replaced whole.
//!
//! The overlay has one writer; pushes and the API only ever want to know how a member stands now.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use crate::id::{Incarnation, NodeName};
use crate::membership::member::{Advert, MemberState};
use crate::membership::overlay::Overlay;

/// The members at one moment, by name; this node is not among them.
#[derive(Default)]
pub(crate) struct Roster(RwLock<Arc<BTreeMap<NodeName, RosterEntry>>>);

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RosterEntry {
    /// Its boot.
    pub(crate) incarnation: Incarnation,
    /// How it stands.
    pub(crate) state: MemberState,
    /// Since when, as time since this node started.
    pub(crate) since: Duration,
    /// Where peers reach it.
    pub(crate) mesh: SocketAddr,
    /// What it says of itself, if that was heard.
    pub(crate) advert: Option<Advert>,
}

impl Roster {
    /// Replaces the snapshot.
    pub(crate) fn update(&self, overlay: &Overlay) {
        let members = overlay.members().map(|member| {
            let entry = RosterEntry {
                incarnation: member.incarnation(),
                state: member.state(),
                since: member.since(),
                mesh: member.addr(),
                advert: member.advert().cloned(),
            };
            (member.name().clone(), entry)
        });
        *self.0.write().expect(NOT_POISONED) = Arc::new(members.collect());
    }

    /// All members.
    pub(crate) fn members(&self) -> Arc<BTreeMap<NodeName, RosterEntry>> {
        Arc::clone(&self.0.read().expect(NOT_POISONED))
    }

    /// How a member stands.
    pub(crate) fn state(&self, name: &NodeName) -> Option<MemberState> {
        self.0.read().expect(NOT_POISONED).get(name).map(|entry| entry.state)
    }
}

const NOT_POISONED: &str = "no panic happens under this lock";
