//! One boot of a node: its directory, its overlay and its links.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pushmesh::NodeName;
use pushmesh::id::{Incarnation, Stamp};
use pushmesh::internals::{
    Awake, Comparing, DeviceHash, Dials, Dispute, Ending, Key, Mirror, Opening, Overlay, Owned, Pauses,
    Position, Pulls, Replica, Returned, Roster,
};

use crate::id::NodeIndex;
use crate::model::gossip::{GossipId, Heartbeats};
use crate::model::id::{BootId, LinkId, StreamId};
use crate::model::stream::{Follower, Server};

/// A process that runs.
pub(super) struct Boot {
    /// Its number.
    pub(super) id: BootId,
    /// Whose process it is.
    pub(super) node: NodeIndex,
    /// Its name.
    pub(super) name: NodeName,
    /// Its incarnation.
    pub(super) incarnation: Incarnation,
    /// What gossip calls it.
    pub(super) gossip_id: GossipId,
    /// When it began.
    pub(super) since: Duration,
    /// Its directory.
    pub(super) replica: Arc<Replica>,
    /// Whom it sees.
    pub(super) overlay: Overlay,
    /// The same for its readers; made anew when it is needed.
    pub(super) roster: Roster,
    /// Whether the roster is up to date.
    pub(super) roster_is_fresh: Cell<bool>,
    /// Members that were hidden and are back.
    pub(super) returned: Returned,
    /// Since when it has listened without a pause.
    pub(super) awake: Awake,
    /// What it hears by gossip.
    pub(super) heard: Heartbeats,
    /// Its links in use, by the node at the other end.
    pub(super) links: BTreeMap<NodeIndex, Link>,
    /// Links that lost against another one and are not closed yet, with the node at the other end.
    pub(super) retired: BTreeMap<LinkId, (NodeIndex, Link)>,
    /// What it knows of the addresses that it dials.
    pub(super) dials: Dials,
    /// Whom it dials now.
    pub(super) dialling: BTreeMap<NodeIndex, Dialling>,
    /// The sections that it takes.
    pub(super) followers: BTreeMap<StreamId, Follower>,
    /// The sections that it sends.
    pub(super) servers: BTreeMap<StreamId, Server>,
    /// The sections that it pulls.
    pub(super) pulling: Pulls,
    /// The comparisons that it has asked for, by the number of the question, and when.
    pub(super) asked: BTreeMap<u64, (Comparing, Duration)>,
    /// Its sessions.
    pub(super) sessions: BTreeMap<Key, Session>,
    /// The clients that are about to be sessions.
    pub(super) waiting: BTreeMap<u64, Waiting>,
    /// How often it judged its members.
    pub(super) rounds: u32,
    /// It stops, and said so.
    pub(super) left: bool,
    /// For the checkers: what a listener knows that hears of every change of its view.
    pub(super) mirror: Mirror,
    /// For the checkers: what it has seen of each node.
    pub(super) seen: BTreeMap<NodeIndex, Seen>,
}

/// A link, as one end sees it.
pub(super) struct Link {
    /// Which one.
    pub(super) id: LinkId,
    /// Who is at the other end.
    pub(super) peer: BootId,
    /// Its incarnation.
    pub(super) incarnation: Incarnation,
    /// Whether this end opened it.
    pub(super) dialled: bool,
    /// Since when it is up.
    pub(super) since: Duration,
    /// When the last packet came.
    heard: Duration,
    /// When the next keep-alive comes that is on its way.
    coming: Duration,
    /// What the overlay was told last.
    pub(super) told: Duration,
    /// Until the section of the peer is subscribed to again.
    pub(super) pauses: Pauses,
}

/// A dial that goes on.
pub(super) struct Dialling {
    /// The number of the link that it may become.
    pub(super) link: LinkId,
    /// When it is given up.
    pub(super) until: Duration,
    /// That very node is looked for, and not whoever has the address.
    pub(super) expected: bool,
}

/// A client's connection.
pub(super) struct Session {
    /// The stamp of its claim.
    pub(super) stamp: Stamp,
    /// The stamp of the session of the same client before it, as it has proven.
    pub(super) succeeds: Option<Stamp>,
    /// It is over for another claim: why, and since when.
    pub(super) ending: Option<(Ending, Duration)>,
    /// It is being settled whether it stays.
    pub(super) dispute: Option<Disputed>,
}

/// The dispute about a session.
pub(super) struct Disputed {
    /// The product's steps.
    pub(super) dispute: Dispute,
    /// What it waits for.
    pub(super) waits: Waits,
}

/// A client that is about to be a session.
pub(super) struct Waiting {
    /// Whose user.
    pub(super) user: u64,
    /// Which device of it.
    pub(super) device: u64,
    /// The stamp that its token proves.
    pub(super) token: Option<Stamp>,
    /// The product's steps.
    pub(super) opening: Opening,
    /// With which stamp it is claimed.
    pub(super) claimed: Option<Stamp>,
    /// What it waits for.
    pub(super) waits: Waits,
    /// For the checkers: the question whether the older session is there, if it was asked.
    pub(super) doubts: Option<u64>,
    /// For the checkers: the sessions of other nodes that its claim excludes, and that nobody has asked to end.
    pub(super) excludes: Vec<(DeviceHash, Owned)>,
}

/// What an opening or a dispute waits for.
#[derive(Default)]
pub(super) struct Waits {
    /// The number of the timer that was started last.
    pub(super) timer: u64,
    /// For the checkers: the questions to let go that followed no answer, and have none yet.
    pub(super) asked: BTreeSet<u64>,
}

/// What a boot has seen of another node.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// The greatest incarnation that was a member.
    pub(super) highest: Incarnation,
    /// Boots up to this one are over.
    pub(super) over: Incarnation,
    /// This one said itself that it left.
    pub(super) left: Option<Incarnation>,
    /// Where the copy of its section stood.
    pub(super) stood: Position,
    /// Since when it is suspect.
    pub(super) suspect_since: Duration,
    /// Whether a dial has failed since then.
    pub(super) dial_failed: bool,
}

impl Boot {
    /// The members for their readers, as they are now.
    pub(super) fn roster(&self) -> &Roster {
        if !self.roster_is_fresh.replace(true) {
            self.roster.update(&self.overlay);
        }
        &self.roster
    }

    /// A link to a peer, in use or retired.
    pub(super) fn link_mut(&mut self, peer: NodeIndex, id: LinkId) -> Option<&mut Link> {
        let in_use = self.links.get_mut(&peer).filter(|link| link.id == id);
        in_use.or_else(|| self.retired.get_mut(&id).map(|(_, link)| link))
    }
}

impl Link {
    /// A link that is up from `now` on.
    pub(super) fn new(
        id: LinkId,
        peer: BootId,
        incarnation: Incarnation,
        dialled: bool,
        now: Duration,
    ) -> Self {
        let pauses = Pauses::default();
        Self { id, peer, incarnation, dialled, since: now, heard: now, coming: now, told: now, pauses }
    }

    /// A packet arrives `at` that time.
    pub(super) fn hear(&mut self, at: Duration, now: Duration) {
        self.heard = self.heard(now);
        self.coming = self.coming.max(at);
    }

    /// When the last packet came.
    pub(super) fn heard(&self, now: Duration) -> Duration {
        if self.coming <= now { self.coming.max(self.heard) } else { self.heard }
    }
}
