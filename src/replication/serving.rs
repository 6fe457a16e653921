//! What a subscriber is sent next: the holder's side of a subscription without its stream and without time.
//!
//! ```text
//!   Head ─► Deltas ──────────────────────────────────────► Over
//!             │ ▲    the changes since the cursor are forgotten
//!             ▼ └──────────────────────────────┐
//!           Begin ─► Chunks ─► Mending ─► End ─┘
//!             ▲                   │    the changes since Begin are forgotten
//!             └───────────────────┘
//! ```
//!
//! It keeps no queue, only a cursor into the changes. [`server`](crate::replication::server) writes the frames and waits
//! where that is due; the fast level of the simulation has other streams.

use crate::directory::SnapshotFrame;
use crate::id::NodeName;
use crate::key::Key;
use crate::replica::Replica;
use crate::replication::frame::{SectionFrame, Subscribe};
use crate::section::{Packed, Position};

/// One subscription that is served.
#[derive(Debug)]
pub struct Serving {
    owner: NodeName,
    follow: bool,
    cursor: Position,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Head,
    Deltas,
    /// A snapshot begins next.
    Begin,
    /// All chunks up to this key are sent, of a snapshot that stands there.
    Chunks(Position, Option<Key>),
    /// All chunks are sent, and what was written up to there.
    Mending(Position),
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this.
    Send(SectionFrame),
    /// A snapshot comes next: it needs a place among those that are sent at once.
    Place,
    /// There is nothing to send before something is written.
    Quiet,
    /// There is nothing to send any more.
    Over,
}

impl Serving {
    /// Serves what `subscribe` asks for: this node's own section for as long as it is followed, a copy once.
    #[must_use]
    pub fn new(replica: &Replica, subscribe: Subscribe) -> Self {
        let Subscribe { owner, position, follow } = subscribe;
        let follow = follow && owner == *replica.me();
        Self { owner, follow, cursor: position, stage: Stage::Head }
    }

    /// Whether it goes on with what is written later.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.follow
    }

    /// Up to where the subscriber has everything.
    #[must_use]
    pub fn cursor(&self) -> Position {
        self.cursor
    }

    /// Whether a snapshot is being sent.
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        matches!(self.stage, Stage::Begin | Stage::Chunks(..) | Stage::Mending(_))
    }

    /// What comes next.
    pub fn next(&mut self, replica: &Replica) -> Step {
        self.try_next(replica).unwrap_or(Step::Over)
    }

    /// `None`: the section is not here any more.
    fn try_next(&mut self, replica: &Replica) -> Option<Step> {
        let changes_max = replica.tuning().delta_changes;
        let owner = &self.owner;
        loop {
            let frame = match self.stage {
                Stage::Head => {
                    self.stage = Stage::Deltas;
                    SectionFrame::Head(replica.head(owner)?.digest)
                }
                Stage::Deltas => match replica.delta_since(owner, self.cursor, changes_max) {
                    None => {
                        self.stage = Stage::Begin;
                        return Some(Step::Place);
                    }
                    Some(delta) if delta.is_empty() => {
                        return Some(if self.follow { Step::Quiet } else { Step::Over });
                    }
                    Some(delta) => {
                        self.cursor = delta.end();
                        SectionFrame::Delta(delta)
                    }
                },
                Stage::Begin => {
                    let at = replica.head(owner)?.digest.position;
                    self.stage = Stage::Chunks(at, None);
                    SectionFrame::Snapshot(SnapshotFrame::Begin(at))
                }
                Stage::Chunks(at, after) => {
                    let chunk = replica.chunk(owner, after, replica.tuning().snapshot_chunk_entries)?;
                    let Some(last) = chunk.last() else {
                        self.stage = Stage::Mending(at);
                        continue;
                    };
                    self.stage = Stage::Chunks(at, Some(last.key));
                    SectionFrame::Snapshot(SnapshotFrame::Chunk(Packed(chunk)))
                }
                // What was written meanwhile; the end has to name a position where nothing is missing.
                Stage::Mending(at) => match replica.delta_since(owner, at, changes_max) {
                    // The changes since the beginning are forgotten: this snapshot cannot be mended.
                    None => {
                        self.stage = Stage::Begin;
                        continue;
                    }
                    Some(delta) if delta.is_empty() => {
                        let head = replica.head(owner)?;
                        if head.digest.position != at {
                            continue; // Something was written in between.
                        }
                        (self.cursor, self.stage) = (at, Stage::Deltas);
                        let (digest, count) = (head.digest, head.len);
                        SectionFrame::Snapshot(SnapshotFrame::End { digest, count })
                    }
                    Some(delta) => {
                        self.stage = Stage::Mending(delta.end());
                        SectionFrame::Delta(delta)
                    }
                },
            };
            return Some(Step::Send(frame));
        }
    }
}
