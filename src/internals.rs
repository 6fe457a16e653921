//! The parts below the API, for the benches and the simulations of this repository.
//!
//! Nothing here is part of the crate's contract: it changes with every version, without notice.

pub use crate::directory::{
    Claim, ClaimState, Counts, Delta, Diff, Directory, Entry, Filling, Holder, Known, Lost, Owned, Rival,
    Row, Shards, SlotId, Slots, SnapshotFrame, Standing, Table, View, policy,
};
pub use crate::events::{Event, Listener};
pub use crate::gateway::schema;
pub use crate::key::{DeviceHash, Key, KeyHasher, UserHash};
pub use crate::membership::incarnation::decide as decide_incarnation;
pub use crate::membership::member::{Advert, AdvertState, GossipView, MemberState};
pub use crate::membership::overlay::{Change, Member, Observation, Overlay, OverlayTimers};
pub use crate::membership::roster::{Roster, RosterEntry};
pub use crate::mesh::contest::{InUse, Newcomer, Outcome};
pub use crate::mesh::dials::{Dials, JITTER};
pub use crate::mesh::meeting::{Hearing, is_duplicate, is_greeted, is_welcomed, missed, unlinked_members};
pub use crate::mesh::probing::Probing;
pub use crate::node::round::{LinkInUse, judge};
pub use crate::node::{Awake, Inside, Observer, Returned};
pub use crate::ownership::{
    Answer, Ask, Dispute, DisputeEffect, Ending, Opening, OpeningEffect, Question, Timer, Yielding, confirms,
    elsewhere, is_asked, released_after, stays, yields,
};
pub use crate::replica::{Arriving, Claimed, Heard, HeldByAnother, Mirror, Replica};
pub use crate::replication::comparing::{Circumstances, Comparing, Consequence, Pulls, asks_first, partner};
pub use crate::replication::frame::{SectionFrame, Subscribe};
pub use crate::replication::serving::{Serving, Step};
pub use crate::replication::taking::{Change as CopyChange, Refused, Taken, Taking};
pub use crate::replication::waiting::{Gathering, Pauses, patience};
pub use crate::section::{Digest, Digests, Finding, Head, MergeError, Pack, Packed, Position, Record, news};

/// Groups, members and fences.
pub mod quorum {
    pub use crate::position::{Position, Segment};
    pub use crate::quorum::{
        Accepted, Acked, Boot, Config, Deposed, Entry, Fence, GroupMember, GroupOwner, Held, News, Op,
        Opened, OwnerEffect, Refusal, Release, Seal, SealAnswer, Takeover, TakeoverEffect, ToMember,
    };
}

mod fuzz;

pub use fuzz::{FUZZ_TARGETS, FuzzTarget, fuzz};
