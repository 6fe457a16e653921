//! What one subscription does to a copy: the taker's side without its stream and without time.
//!
//! [`follower`](crate::replication::follower) reads the frames and waits where that is due; the fast level of the
//! simulation and the fuzzers feed them from elsewhere.

use std::sync::Arc;

use crate::directory::{Lost, SnapshotFrame};
use crate::id::{Incarnation, NodeName};
use crate::key::Key;
use crate::limits;
use crate::replica::{Arriving, Replica};
use crate::replication::frame::{SectionFrame, Subscribe};
use crate::section::{Digest, MergeError, Position};

/// Applies the frames of one subscription.
pub struct Taking {
    replica: Arc<Replica>,
    owner: NodeName,
    incarnation: Incarnation,
    /// Whether it is the owner that sends.
    direct: bool,
    /// What was held when the subscription was sent, so before it was answered.
    subscribed: Option<Digest>,
    /// Where the owner stood at the start; `None` once that is reached.
    head: Option<Position>,
    /// The snapshot that is arriving.
    arriving: Option<Arriving>,
    /// How far the snapshot is, also one that is not needed: the last key, and how many entries came.
    filled: (Option<Key>, u64),
}

/// What a frame did.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// To the copy.
    pub change: Change,
    /// The sessions that this node lost by it.
    pub lost: Vec<Lost>,
    /// For the first time the copy has reached where the sender stood at the start.
    pub synced: bool,
}

/// What a frame did to a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing yet.
    None,
    /// A delta was merged.
    Merged,
    /// A snapshot begins that is not needed: what is held is as new.
    Unneeded,
    /// The snapshot is the copy now.
    Replaced,
    /// The snapshot is complete and was not used: what is held has become as new meanwhile.
    Outdated,
}

/// Why a frame was not taken. The subscription is over.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The directory does not take it.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A snapshot is out of order.
    #[error("the entries of a snapshot are not in the order of their keys")]
    Disorder,
    /// A section has more entries than any node has.
    #[error("a section of {0} entries")]
    TooMany(u64),
}

impl Taking {
    /// Takes the section of this boot of `owner`: from the owner itself if `direct`.
    #[must_use]
    pub fn new(replica: &Arc<Replica>, owner: NodeName, incarnation: Incarnation, direct: bool) -> Self {
        let subscribed = replica.head(&owner).map(|head| head.digest);
        let replica = Arc::clone(replica);
        Self {
            replica,
            owner,
            incarnation,
            direct,
            subscribed,
            head: None,
            arriving: None,
            filled: (None, 0),
        }
    }

    /// The question that is sent first: what is newer than what is held, and then what is written, if it shall `follow`.
    #[must_use]
    pub fn subscribe(&self, follow: bool) -> Subscribe {
        let position = self.subscribed.map_or(Position::default(), |held| held.position);
        Subscribe { owner: self.owner.clone(), position, follow }
    }

    /// Gives up the snapshot that is arriving.
    pub fn give_up(&mut self) {
        self.arriving = None;
    }

    /// Whether a snapshot is arriving that is needed.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        self.arriving.is_some()
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// [`Refused`]; what was complete until then is merged.
    pub fn take(&mut self, frame: SectionFrame) -> Result<Taken, Refused> {
        let (change, mut lost) = self.apply(frame)?;
        let synced = self.is_synced();
        if synced && self.direct {
            // What a third node holds may be as old as what was held here.
            lost.extend(self.replica.prove(&self.owner, self.incarnation));
        }
        Ok(Taken { change, lost, synced })
    }

    fn apply(&mut self, frame: SectionFrame) -> Result<(Change, Vec<Lost>), Refused> {
        let change = match frame {
            SectionFrame::Head(digest) => {
                self.begin(&digest)?;
                Change::None
            }
            SectionFrame::Delta(delta) => match &mut self.arriving {
                Some(arriving) => {
                    arriving.mend(&delta)?;
                    Change::None
                }
                None => {
                    let lost = self.replica.merge_delta(&self.owner, delta)?;
                    bounded(self.replica.len_of(&self.owner))?;
                    return Ok((Change::Merged, lost));
                }
            },
            SectionFrame::Snapshot(SnapshotFrame::Begin(position)) => {
                if position.incarnation != self.incarnation {
                    let (found, held) = (position.incarnation, self.incarnation);
                    return Err(MergeError::Incarnation { found, held }.into());
                }
                self.give_up();
                self.filled = (None, 0);
                self.arriving = self.replica.begin(&self.owner, position)?;
                if self.is_filling() { Change::None } else { Change::Unneeded }
            }
            SectionFrame::Snapshot(SnapshotFrame::Chunk(entries)) => {
                let (last, count) = self.filled;
                let keys = last.into_iter().chain(entries.0.iter().map(|entry| entry.key));
                if !keys.is_sorted_by(|before, after| before < after) {
                    return Err(Refused::Disorder);
                }
                let count = count + entries.0.len() as u64;
                bounded(count)?;
                self.filled = (entries.0.last().map(|entry| entry.key).or(last), count);
                if let Some(arriving) = &mut self.arriving {
                    arriving.fill(&entries.0);
                }
                Change::None
            }
            SectionFrame::Snapshot(SnapshotFrame::End { digest, count }) => match self.arriving.take() {
                Some(arriving) => {
                    let held = self.replica.head(&self.owner).map(|held| held.digest.position);
                    let outdated = held.is_some_and(|held| held >= digest.position);
                    let lost = arriving.end(digest, count)?;
                    return Ok((if outdated { Change::Outdated } else { Change::Replaced }, lost));
                }
                None => Change::None, // What is held is as new.
            },
        };
        Ok((change, Vec::new()))
    }

    /// The first frame: where the section stands at the sender.
    fn begin(&mut self, digest: &Digest) -> Result<(), MergeError> {
        // Only a clock that was set back lets a boot start over under a used incarnation.
        if let Some(held) = self.subscribed.filter(|held| self.direct && held.contradicts(digest)) {
            self.replica.distrust(&self.owner, &held);
            return Err(MergeError::Diverged { owner: self.owner.clone(), version: held.position.version });
        }
        self.head = Some(digest.position);
        Ok(())
    }

    /// Says once that the copy has reached where the sender stood at the start: the owner, or who is
    /// asked because the owner is not reached.
    fn is_synced(&mut self) -> bool {
        let Some(head) = self.head else { return false };
        let held = self.replica.head(&self.owner);
        let synced = held.is_some_and(|held| held.digest.position >= head);
        self.head = self.head.filter(|_| !synced);
        synced
    }
}

/// Checks that a section has no more sessions than any node has.
fn bounded(entries: u64) -> Result<(), Refused> {
    if entries > limits::SECTION_ENTRIES_MAX { Err(Refused::TooMany(entries)) } else { Ok(()) }
}
