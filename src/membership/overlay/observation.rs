//! What the overlay is told: everything that can be seen of a member from here.
//!
//! Gossip and packets are reported as they stand at each tick, so that a report that was missed is
//! made up for by the next; what happens once is reported when it happens.

use std::net::SocketAddr;
use std::time::Duration;

use crate::id::{Incarnation, NodeName};
use crate::membership::member::GossipView;

/// Something that was seen of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// What gossip shows of it now; reported at each tick.
    Gossip(GossipView),
    /// A link to it is up, in either direction, and it proved its name.
    LinkUp {
        /// Its name.
        name: NodeName,
        /// Its boot, from the exchange of hellos.
        incarnation: Incarnation,
        /// The address at the other end; used until gossip tells the advertised one.
        addr: SocketAddr,
    },
    /// When the last packet arrived on its link; reported at each tick while the link is up.
    LinkHeard {
        /// Its name.
        name: NodeName,
        /// Its boot.
        incarnation: Incarnation,
        /// Time since this node started.
        last_heard: Duration,
    },
    /// The last link to it is gone. Not reported for the loser of two simultaneous links.
    LinkDown {
        /// Its name.
        name: NodeName,
        /// Its boot.
        incarnation: Incarnation,
    },
    /// A dial of its address failed. Counts only against a Suspect member of which nothing is heard
    /// since.
    DialFailed {
        /// Its name.
        name: NodeName,
    },
    /// It closed its link saying that it left. It does so after it released every session, and
    /// closing is its last word, so its section counts as empty even if the releases were lost.
    Goodbye {
        /// Its name.
        name: NodeName,
        /// Its boot.
        incarnation: Incarnation,
    },
    /// The copy of its section is empty. Means something only once its advert says `left`, when no
    /// claim can follow, so it is reported at each tick while it holds.
    SectionEmpty {
        /// Its name.
        name: NodeName,
        /// Its boot.
        incarnation: Incarnation,
    },
}
