//! What the figures should be.

use crate::figure::{Copying, Figure, Samples};
use crate::system::System;

/// A goal.
pub(crate) struct Goal {
    /// Of what.
    pub(crate) what: &'static str,
    /// What it should be.
    pub(crate) bound: Bound,
    /// With so many threads for each server; with any number without.
    pub(crate) threads: Option<usize>,
    measured: Measured,
}

/// The side on which a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    /// No greater than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// What is held against the bound.
#[derive(Debug, Clone, Copy)]
enum Measured {
    /// Pushmesh divided by another system, on so many nodes.
    Beside(System, Figure, usize),
    /// A figure of pushmesh on three nodes.
    Ours(Figure),
    /// One figure of pushmesh divided by another one, each on so many nodes.
    Within((Figure, usize), (Figure, usize)),
    /// One figure of pushmesh on three nodes divided by another one of the same round.
    Alternating(Figure, Figure),
}

impl Goal {
    const fn new(what: &'static str, bound: Bound, measured: Measured) -> Self {
        Self { what, bound, threads: None, measured }
    }

    const fn with(self, threads: usize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// The figure, unless the run did not measure it.
    pub(crate) fn measured(&self, samples: &Samples) -> Option<f64> {
        let ours = |figure, nodes| samples.median(figure, nodes, System::Pushmesh);
        match self.measured {
            Measured::Beside(system, figure, nodes) => Some(samples.ratio(figure, nodes, system)?.median),
            Measured::Ours(figure) => ours(figure, 3),
            Measured::Alternating(one, other) => Some(samples.within(one, other, 3)?.median),
            Measured::Within(one, other) => Some(ours(one.0, one.1)? / ours(other.0, other.1)?),
        }
    }

    /// Whether such a figure meets it.
    pub(crate) fn is_met(&self, value: f64) -> bool {
        match self.bound {
            Bound::AtMost(bound) => value <= bound,
            Bound::AtLeast(bound) => value >= bound,
        }
    }
}

use Bound::{AtLeast, AtMost};
use Figure::{
    BatchCpu, BroadcastCpu, ClosedCpu, ClosedRate, CopyingClosedCpu, CopyingPacedCpu, EnvelopeBatchCpu,
    EnvelopeCpu, IdleBytes, IdleTlsBytes, KeptBatchCpu, KeptCpu, KeptStormBeyond, PacedCpu, PacedP50,
    PacedP99, StoredCpu, StoredP50, StoredP99,
};
use Measured::{Alternating, Beside, Ours, Within};
use System::{Jetstream, Nats, Redis};

/// The goals. Most are ratios, pushmesh divided by another system.
pub(crate) const GOALS: &[Goal] = &[
    Goal::new("server CPU per push, 3 nodes, to Redis", AtMost(0.75), Beside(Redis, ClosedCpu, 3)).with(1),
    Goal::new("server CPU per push, 9 nodes, to Redis", AtMost(0.80), Beside(Redis, ClosedCpu, 9)).with(1),
    Goal::new("server CPU per push, 3 nodes, to Redis", AtMost(0.90), Beside(Redis, ClosedCpu, 3)).with(2),
    Goal::new("server CPU per push, 9 nodes, to Redis", AtMost(1.0), Beside(Redis, ClosedCpu, 9)).with(2),
    Goal::new("server CPU per push, 3 nodes, to NATS", AtMost(0.65), Beside(Nats, ClosedCpu, 3)).with(1),
    Goal::new("server CPU per push, 9 nodes, to NATS", AtMost(0.90), Beside(Nats, ClosedCpu, 9)).with(1),
    Goal::new("CPU per push, fixed rate, 3 nodes, to NATS", AtMost(1.0), Beside(Nats, PacedCpu, 3)),
    Goal::new("CPU per push, fixed rate, 9 nodes, to NATS", AtMost(1.1), Beside(Nats, PacedCpu, 9)),
    Goal::new(
        "server CPU per push, pushmesh, 9 nodes to 3",
        AtMost(1.15),
        Within((ClosedCpu, 9), (ClosedCpu, 3)),
    ),
    Goal::new("pushes a second, closed loop, 3 nodes, to Redis", AtLeast(1.3), Beside(Redis, ClosedRate, 3)),
    Goal::new("latency p50, fixed rate, 3 nodes, to Redis", AtMost(0.8), Beside(Redis, PacedP50, 3)),
    Goal::new("latency p99, fixed rate, 3 nodes, to Redis", AtMost(0.8), Beside(Redis, PacedP99, 3)),
    Goal::new("latency p50, fixed rate, 3 nodes, to NATS", AtMost(1.0), Beside(Nats, PacedP50, 3)),
    Goal::new(
        "server CPU per push, NDJSON to single calls, pushmesh",
        AtMost(0.25),
        Within((BatchCpu, 3), (ClosedCpu, 3)),
    ),
    Goal::new(
        "server CPU per broadcast frame, 3 nodes, to Redis",
        AtMost(0.75),
        Beside(Redis, BroadcastCpu, 3),
    ),
    Goal::new(
        "server CPU per push, kept to not kept, pushmesh",
        AtMost(1.35),
        Within((KeptCpu, 3), (EnvelopeCpu, 3)),
    ),
    Goal::new(
        "server CPU per push, NDJSON, kept to not kept, pushmesh",
        AtMost(1.35),
        Within((KeptBatchCpu, 3), (EnvelopeBatchCpu, 3)),
    ),
    Goal::new(
        "server CPU per push, closed loop, copies after 50 ms to none",
        AtMost(1.05),
        Alternating(CopyingClosedCpu(Copying::After(50)), CopyingClosedCpu(Copying::Off)),
    ),
    Goal::new(
        "server CPU per push, fixed rate, copies after 50 ms to none",
        AtMost(1.05),
        Alternating(CopyingPacedCpu(Copying::After(50)), CopyingPacedCpu(Copying::Off)),
    ),
    Goal::new("told that it is stored, p50, to JetStream", AtMost(1.0), Beside(Jetstream, StoredP50, 3)),
    Goal::new("told that it is stored, p99, to JetStream", AtMost(1.0), Beside(Jetstream, StoredP99, 3)),
    Goal::new("server CPU per stored push, to JetStream", AtMost(1.0), Beside(Jetstream, StoredCpu, 3)),
    Goal::new(
        "node killed, kept, copies: all reached beyond dialling, ms",
        AtMost(1_000.0),
        Ours(KeptStormBeyond),
    ),
    Goal::new("resident bytes per idle client, ws, 3 nodes", AtMost(4_608.0), Ours(IdleBytes)),
    Goal::new("resident bytes per idle client, wss, 3 nodes", AtMost(10_240.0), Ours(IdleTlsBytes)),
];
