//! Who holds the messages of a group, and who has taken a session of it over.

use serde::{Deserialize, Serialize};

use crate::id::{Incarnation, NodeName, Stamp};
use crate::key::Key;
use crate::limits;
use crate::position::{Position, Segment, Writer};

/// A boot of a node: what it held is gone with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Boot {
    /// The node.
    pub name: NodeName,
    /// Its boot.
    pub incarnation: Incarnation,
}

impl Boot {
    /// Whether it numbers that segment.
    #[must_use]
    pub fn numbers(&self, segment: Segment) -> bool {
        Writer::of(&self.name, self.incarnation) == segment.writer
    }
}

/// The members of a group in one of its epochs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Grows with each change of the members. No two configurations of a group have the same.
    pub epoch: u32,
    /// The members.
    pub members: Vec<Boot>,
}

impl Config {
    /// Whether that boot is a member.
    #[must_use]
    pub fn has(&self, boot: &Boot) -> bool {
        self.members.contains(boot)
    }

    /// Whether what these members have is stored.
    #[must_use]
    pub fn is_stored(&self, at: impl Fn(&Boot) -> bool) -> bool {
        self.count(at) >= limits::STORED_AT
    }

    /// Whether a session is sealed that these members have sealed: without any of them nothing can be stored, and with all that they
    /// hold nothing is missed that is. Where there are no members nothing is ever stored, and nothing can be said.
    #[must_use]
    pub fn is_sealed(&self, at: impl Fn(&Boot) -> bool) -> bool {
        !self.members.is_empty() && self.count(at) + limits::STORED_AT > self.members.len()
    }

    fn count(&self, at: impl Fn(&Boot) -> bool) -> usize {
        self.members.iter().filter(|member| at(member)).count()
    }
}

/// A session of which something is held or known, for whoever looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Looked {
    /// The session.
    pub(crate) key: Key,
    /// How many messages are held.
    pub(crate) messages: usize,
    /// Where the last of them stands.
    pub(crate) last: Option<Position>,
    /// The claim below which nothing is taken for it.
    pub(crate) fence: Option<Fence>,
}

/// Below which claims of a session nothing is taken any more: those that are less than this one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// The stamp of the claim.
    pub stamp: Stamp,
    /// Whose it is.
    pub by: Boot,
}

impl Fence {
    /// Whether nothing is taken for the claim that `owner` made with that stamp.
    #[must_use]
    pub fn is_above(&self, stamp: Stamp, owner: &Boot) -> bool {
        Fence { stamp, by: owner.clone() } < *self
    }
}
