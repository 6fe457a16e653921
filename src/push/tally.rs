//! Counts of outcomes, where a list of them would be too long.

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;

/// How many sessions met each outcome: the answer to a broadcast, where a list would be too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Tally {
    /// Sessions that were written to.
    pub delivered: u64,
    /// Sessions whose outbox still holds it.
    pub buffered: u64,
    /// Sessions whose outbox was full.
    pub overloaded: u64,
    /// Sessions that closed before or during the write.
    pub interrupted: u64,
    /// Sessions that have, or had, another message with the same id.
    pub id_reused: u64,
    /// Sessions whose client has acknowledged it.
    #[serde(default)]
    pub acked: u64,
    /// Sessions whose client is away, and that hold it.
    #[serde(default)]
    pub queued: u64,
}

impl Tally {
    /// Counts one more session.
    pub fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Delivered => self.delivered += 1,
            Outcome::Buffered => self.buffered += 1,
            Outcome::Overloaded => self.overloaded += 1,
            Outcome::IdReused => self.id_reused += 1,
            Outcome::Acked => self.acked += 1,
            Outcome::Queued => self.queued += 1,
            Outcome::Copied { reached, .. } => self.add(reached.outcome()),
            Outcome::Moved { .. }
            | Outcome::NoSession
            | Outcome::Interrupted
            | Outcome::Unreachable
            | Outcome::Unknown
            | Outcome::NotReady => self.interrupted += 1,
        }
    }

    /// Adds the counts of another node.
    pub fn merge(&mut self, other: &Tally) {
        self.delivered += other.delivered;
        self.buffered += other.buffered;
        self.overloaded += other.overloaded;
        self.interrupted += other.interrupted;
        self.id_reused += other.id_reused;
        self.acked += other.acked;
        self.queued += other.queued;
    }
}
