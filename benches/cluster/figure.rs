//! What is measured, and the samples of it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::system::System;

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// Resident memory of all servers for each client that is connected and idle, in bytes.
    IdleBytes,
    /// The same over TLS.
    IdleTlsBytes,
    /// Pushes a second in closed loop.
    ClosedRate,
    /// CPU time of all server processes for each of them, in microseconds.
    ClosedCpu,
    /// The rate with many pushes in progress.
    ManyRate,
    /// CPU time for each of them, in microseconds.
    ManyCpu,
    /// Time until a push at a fixed rate has arrived, in microseconds: the median.
    PacedP50,
    /// Of 99 %.
    PacedP99,
    /// Of 99.9 %.
    PacedP999,
    /// CPU time for each push at the fixed rate, in microseconds.
    PacedCpu,
    /// CPU time for each push of a request of many, in microseconds.
    BatchCpu,
    /// Such pushes a second.
    BatchRate,
    /// CPU time for each push of 10 KiB in closed loop, in microseconds.
    Cpu10KiB,
    /// CPU time for each push of 100 KiB in closed loop, in microseconds.
    Cpu100KiB,
    /// CPU time for each frame of a broadcast, in microseconds.
    BroadcastCpu,
    /// Time until a broadcast has reached 99 % of the users, in microseconds: the median.
    BroadcastP99,
    /// Resident memory for each idle client of `pushmesh.v1` whose session is not kept, in bytes.
    EnvelopeIdleBytes,
    /// The same of a client whose session is kept.
    KeptIdleBytes,
    /// CPU time for each push in closed loop to clients of `pushmesh.v1` whose sessions are not kept, in microseconds.
    EnvelopeCpu,
    /// The same to clients whose sessions are kept, and who acknowledge.
    KeptCpu,
    /// CPU time for each push of a request of many, to clients whose sessions are not kept.
    EnvelopeBatchCpu,
    /// The same to clients whose sessions are kept, and who acknowledge.
    KeptBatchCpu,
    /// CPU time for each push in closed loop to clients whose sessions are kept, copied so, in microseconds.
    CopyingClosedCpu(Copying),
    /// The same at the fixed rate.
    CopyingPacedCpu(Copying),
    /// Time until the publisher is told that its push is stored, in microseconds, at the fixed rate: the median.
    StoredP50,
    /// Of 99 %.
    StoredP99,
    /// CPU time for each of them, in microseconds.
    StoredCpu,
    /// Time until such a push has arrived at its user, in microseconds: the median.
    StoredArrivedP50,
    /// How many of a hundred were stored because the user had acknowledged them before another server had them.
    StoredAcknowledged,
    /// Threads of a server, as the kernel counts them.
    StoredThreads,
    /// Time from the kill of a node until all its users are reached again, in milliseconds.
    StormReached,
    /// Pushes at the fixed rate that did not arrive meanwhile.
    StormLost,
    /// The time of users whose sessions are kept, with copies, in milliseconds.
    KeptStormReached,
    /// That time without what it took until all of them had dialled.
    KeptStormBeyond,
    /// How many of a hundred of them were told that they have everything.
    KeptStormComplete,
    /// Pushes to such users that did not arrive. Each was answered with an error, or delivered just before the kill.
    KeptStormLost,
}

/// What nodes copy in the part `copies`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Copying {
    /// Nothing.
    Off,
    /// To two nodes, what the client has not acknowledged within so many milliseconds.
    After(u64),
}

impl Figure {
    /// All of the tables that have a row for each, in their order.
    pub(crate) const ALL: [Self; 34] = [
        Self::ClosedCpu,
        Self::ClosedRate,
        Self::ManyCpu,
        Self::ManyRate,
        Self::PacedP50,
        Self::PacedP99,
        Self::PacedP999,
        Self::PacedCpu,
        Self::IdleBytes,
        Self::IdleTlsBytes,
        Self::BatchCpu,
        Self::BatchRate,
        Self::Cpu10KiB,
        Self::Cpu100KiB,
        Self::BroadcastCpu,
        Self::BroadcastP99,
        Self::EnvelopeIdleBytes,
        Self::KeptIdleBytes,
        Self::EnvelopeCpu,
        Self::KeptCpu,
        Self::EnvelopeBatchCpu,
        Self::KeptBatchCpu,
        Self::StoredP50,
        Self::StoredP99,
        Self::StoredCpu,
        Self::StoredArrivedP50,
        Self::StoredAcknowledged,
        Self::StoredThreads,
        Self::StormReached,
        Self::StormLost,
        Self::KeptStormReached,
        Self::KeptStormBeyond,
        Self::KeptStormComplete,
        Self::KeptStormLost,
    ];

    /// Whether it is of pushes that are stored, which other systems take part in than in the rest.
    pub(crate) fn is_of_stored(self) -> bool {
        use Figure::{StoredAcknowledged, StoredArrivedP50, StoredCpu, StoredP50, StoredP99, StoredThreads};
        matches!(
            self,
            StoredP50 | StoredP99 | StoredCpu | StoredArrivedP50 | StoredAcknowledged | StoredThreads
        )
    }

    /// For people, with its unit.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::IdleBytes => "resident bytes per idle client, ws",
            Self::IdleTlsBytes => "resident bytes per idle client, wss",
            Self::ClosedRate => "pushes a second, closed loop",
            Self::ClosedCpu => "server CPU per push, us, closed loop",
            Self::ManyRate => "pushes a second, many in progress",
            Self::ManyCpu => "server CPU per push, us, many in progress",
            Self::PacedP50 => "latency p50, us, fixed rate",
            Self::PacedP99 => "latency p99, us, fixed rate",
            Self::PacedP999 => "latency p99.9, us, fixed rate",
            Self::PacedCpu => "server CPU per push, us, fixed rate",
            Self::BatchCpu => "server CPU per push, us, NDJSON",
            Self::BatchRate => "pushes a second, NDJSON",
            Self::Cpu10KiB => "server CPU per push of 10 KiB, us",
            Self::Cpu100KiB => "server CPU per push of 100 KiB, us",
            Self::BroadcastCpu => "server CPU per broadcast frame, us",
            Self::BroadcastP99 => "broadcast at 99 % of users, us",
            Self::EnvelopeIdleBytes => "resident bytes per idle client, pushmesh.v1",
            Self::KeptIdleBytes => "resident bytes per idle client, kept",
            Self::EnvelopeCpu => "server CPU per push, us, pushmesh.v1",
            Self::KeptCpu => "server CPU per push, us, kept and acknowledged",
            Self::EnvelopeBatchCpu => "server CPU per push, us, NDJSON, pushmesh.v1",
            Self::KeptBatchCpu => "server CPU per push, us, NDJSON, kept and acknowledged",
            Self::CopyingClosedCpu(_) => "server CPU per push, us, closed loop, kept, by what is copied",
            Self::CopyingPacedCpu(_) => "server CPU per push, us, fixed rate, kept, by what is copied",
            Self::StoredP50 => "told that it is stored, p50, us, fixed rate",
            Self::StoredP99 => "told that it is stored, p99, us, fixed rate",
            Self::StoredCpu => "server CPU per stored push, us",
            Self::StoredArrivedP50 => "at the client, p50, us",
            Self::StoredAcknowledged => "told by the client's acknowledgement, %",
            Self::StoredThreads => "threads of a server, as the kernel counts",
            Self::StormReached => "node killed: all reached again, ms",
            Self::StormLost => "node killed: pushes lost meanwhile",
            Self::KeptStormReached => "node killed, kept, copies: all reached again, ms",
            Self::KeptStormBeyond => "the same, beyond what they need to dial, ms",
            Self::KeptStormComplete => "the same, told that nothing is missing, %",
            Self::KeptStormLost => "the same, pushes that did not arrive",
        }
    }
}

/// What was measured, by figure, number of nodes and system; a value for each round.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<(Figure, usize, System), Vec<f64>>);

/// The median of some values, and how far they are apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// Half of them are below it.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The greatest.
    pub(crate) max: f64,
}

impl Samples {
    /// Adds the value of a round.
    pub(crate) fn add(&mut self, figure: Figure, nodes: usize, system: System, value: f64) {
        self.0.entry((figure, nodes, system)).or_default().push(value);
    }

    /// The values of all rounds.
    pub(crate) fn values(&self, figure: Figure, nodes: usize, system: System) -> &[f64] {
        self.0.get(&(figure, nodes, system)).map_or(&[], Vec::as_slice)
    }

    /// Their median.
    pub(crate) fn median(&self, figure: Figure, nodes: usize, system: System) -> Option<f64> {
        Some(Spread::of(self.values(figure, nodes, system))?.median)
    }

    /// Pushmesh divided by another system, round by round: what the machine did meanwhile, it did to both.
    pub(crate) fn ratio(&self, figure: Figure, nodes: usize, to: System) -> Option<Spread> {
        by_round(self.values(figure, nodes, System::Pushmesh), self.values(figure, nodes, to))
    }

    /// One figure of pushmesh divided by another one, round by round.
    pub(crate) fn within(&self, figure: Figure, to: Figure, nodes: usize) -> Option<Spread> {
        let [one, other] = [figure, to].map(|figure| self.values(figure, nodes, System::Pushmesh));
        by_round(one, other)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Figure, usize, System, &[f64])> {
        self.0.iter().map(|((figure, nodes, system), values)| (*figure, *nodes, *system, values.as_slice()))
    }
}

impl Spread {
    /// Of none there is none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self { median: f64::midpoint(low, high), min, max })
    }
}

/// The values of some, each divided by that of the same round.
fn by_round(ours: &[f64], theirs: &[f64]) -> Option<Spread> {
    let pairs = ours.iter().zip(theirs).filter(|(_, theirs)| **theirs > 0.0);
    Spread::of(&pairs.map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
}
