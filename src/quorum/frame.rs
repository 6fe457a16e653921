//! What the machines of a group say to each other.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::Stamp;
use crate::key::Key;
use crate::limits;
use crate::position::Position;
use crate::quorum::group::{Boot, Config, Fence};

/// A message of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<M> {
    /// Whose it is.
    pub key: Key,
    /// The claim that its owner holds it by: that of its segment, or a later one that has taken it over.
    pub claim: Stamp,
    /// Where it stands. It keeps that for good.
    pub at: Position,
    /// The message.
    pub message: M,
}

impl<M: Clone> Entry<M> {
    /// The entry of a session that is held at that position, for that claim.
    pub(super) fn at(key: Key, (at, claim, message): (Position, Stamp, &M)) -> Self {
        Self { key, claim, at, message: message.clone() }
    }
}

/// What an owner tells its members, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op<M> {
    /// Hold this.
    Append(Entry<M>),
    /// The session is claimed, and what the groups of these boots hold of it may not be here yet. Without any: all of it is.
    Follow {
        /// The session.
        key: Key,
        /// The claim.
        claim: Stamp,
        /// Whose groups.
        owners: Vec<Boot>,
    },
    /// Of that segment nothing is held any more up to that number.
    Trim {
        /// Whose it is.
        key: Key,
        /// The last one that is not needed.
        upto: Position,
    },
    /// The session is over: nothing is held of it any more that was written by claims up to that one.
    Drop {
        /// The session.
        key: Key,
        /// The stamp of the claim.
        claim: Stamp,
    },
    /// That session was taken over, as other members have told.
    Fence {
        /// The session.
        key: Key,
        /// The claim.
        fence: Fence,
    },
    /// What was taken over is held elsewhere.
    Release(Release),
}

/// What an owner sends to a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToMember<M> {
    /// All that is held, and the place in the log that it goes on from: the boot is about to be a member.
    Open {
        /// Of this configuration.
        config: Config,
        /// The place of the last operation that is in it.
        place: u64,
        /// What is held.
        held: Held<M>,
    },
    /// The next operation.
    Logged {
        /// Its place.
        place: u64,
        /// What it is.
        op: Op<M>,
    },
    /// The members change, if it accepts that.
    Propose {
        /// The configurations that may be in effect, in their order: the first one is, and the last one is to be.
        configs: Vec<Config>,
    },
}

/// All that a group holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held<M> {
    /// The messages.
    pub entries: Vec<Entry<M>>,
    /// What sessions follow, with the claims.
    pub follows: Vec<(Key, Stamp, Vec<Boot>)>,
    /// What was taken over.
    pub fences: Vec<(Key, Fence)>,
}

impl<M> Held<M> {
    /// A group that holds nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self { entries: Vec::new(), follows: Vec::new(), fences: Vec::new() }
    }
}

/// Up to where a member has the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// The place.
    pub place: u64,
    /// What it has refused. It says so each time.
    pub refused: Vec<Refusal>,
}

/// A member has not taken what stood below a fence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Of that session.
    pub key: Key,
    /// For this claim.
    pub fence: Fence,
    /// The place of the last operation that it has refused, or of the opening in which it was given what stands below the fence.
    pub place: u64,
}

/// A boot has all that is held, and may be a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Of the configuration with this epoch.
    pub epoch: u32,
    /// The place in the log up to which it was given all.
    pub place: u64,
    /// Up to where it has the log.
    pub acked: Acked,
}

/// A member has accepted a change: from now on it tells whoever seals of the newer members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The epoch of the configuration.
    pub epoch: u32,
    /// All claims for which sessions were taken over, as it knows.
    pub fences: Vec<(Key, Fence)>,
}

/// A claim takes a session over: what is held of it, and nothing more for claims below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The session.
    pub key: Key,
    /// The claim.
    pub fence: Fence,
    /// The segment whose token the client has shown, or whose owner has let go: under
    /// [`RejectNewer`](crate::config::Takeover::RejectNewer) no other is taken over.
    pub shown: Option<Stamp>,
}

/// What a member answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SealAnswer<M> {
    /// This is held of the session, and from now on no more is taken for claims below.
    Tail {
        /// The latest epoch of which it is a member, as it knows: it had all that was held then.
        epoch: u32,
        /// The configurations that may be in effect, as it knows.
        configs: Vec<Config>,
        /// What is held.
        entries: Vec<Entry<M>>,
        /// Whose groups may hold more: of those that the session follows here, and of the claims that have taken it over before.
        beyond: Vec<Boot>,
    },
    /// It is no member that could know.
    Unknown,
    /// It is no member any more: these may be in effect.
    Newer(Vec<Config>),
    /// A greater claim has taken it over, or its client has not shown what it has to.
    Refused(Option<Fence>),
}

/// What a claim has taken over is held by members of its own group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The session.
    pub key: Key,
    /// The claim.
    pub fence: Fence,
    /// What it has.
    pub held: BTreeSet<Position>,
    /// It has all that lower claims could have: they need not be asked any more.
    pub complete: bool,
}

impl Release {
    /// The same in parts of at most [`limits::RELEASED_MAX`] positions. The last one says whether it is complete.
    pub(crate) fn parts(self) -> Vec<Self> {
        let Self { key, fence, held, complete } = self;
        let held: Vec<_> = held.into_iter().collect();
        let part = |held: &[Position]| {
            let held = held.iter().copied().collect();
            Self { key, fence: fence.clone(), held, complete: false }
        };
        let mut parts: Vec<_> = held.chunks(limits::RELEASED_MAX).map(part).collect();
        if parts.is_empty() {
            parts.push(part(&[]));
        }
        if let Some(last) = parts.last_mut() {
            last.complete = complete;
        }
        parts
    }
}
