//! What the figures should be.

use crate::figure::{Figure, Samples};
use crate::system::System;

/// A goal.
pub(crate) struct Goal {
    /// Of what.
    pub(crate) what: &'static str,
    /// What it should be.
    pub(crate) bound: Bound,
    measured: fn(&Samples) -> Option<f64>,
}

/// The side on which a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    /// No greater than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Goal {
    /// The figure, unless the run did not measure it.
    pub(crate) fn measured(&self, samples: &Samples) -> Option<f64> {
        (self.measured)(samples)
    }

    /// Whether such a figure meets it.
    pub(crate) fn is_met(&self, value: f64) -> bool {
        match self.bound {
            Bound::AtMost(bound) => value <= bound,
            Bound::AtLeast(bound) => value >= bound,
        }
    }
}

/// The goals. Most are ratios, pushmesh divided by the fan-out over Redis.
pub(crate) const GOALS: &[Goal] = &[
    Goal {
        what: "server CPU per push, 3 nodes, ratio",
        bound: Bound::AtMost(0.70),
        measured: |samples| Some(samples.ratio(Figure::ClosedCpu, 3)?.median),
    },
    Goal {
        what: "server CPU per push, 9 nodes, ratio",
        bound: Bound::AtMost(0.40),
        measured: |samples| Some(samples.ratio(Figure::ClosedCpu, 9)?.median),
    },
    Goal {
        what: "server CPU per push, pushmesh, 9 nodes to 3",
        bound: Bound::AtMost(1.15),
        measured: |samples| {
            let cpu = |nodes| samples.median(Figure::ClosedCpu, nodes, System::Pushmesh);
            Some(cpu(9)? / cpu(3)?)
        },
    },
    Goal {
        what: "pushes a second, closed loop, 3 nodes, ratio",
        bound: Bound::AtLeast(1.4),
        measured: |samples| Some(samples.ratio(Figure::ClosedRate, 3)?.median),
    },
    Goal {
        what: "latency p50, fixed rate, 3 nodes, ratio",
        bound: Bound::AtMost(1.0),
        measured: |samples| Some(samples.ratio(Figure::PacedP50, 3)?.median),
    },
    Goal {
        what: "latency p99, fixed rate, 3 nodes, ratio",
        bound: Bound::AtMost(1.0),
        measured: |samples| Some(samples.ratio(Figure::PacedP99, 3)?.median),
    },
    Goal {
        what: "server CPU per push, NDJSON to single calls, pushmesh",
        bound: Bound::AtMost(0.25),
        measured: |samples| {
            let cpu = |figure| samples.median(figure, 3, System::Pushmesh);
            Some(cpu(Figure::BatchCpu)? / cpu(Figure::ClosedCpu)?)
        },
    },
    Goal {
        what: "server CPU per broadcast frame, 3 nodes, ratio",
        bound: Bound::AtMost(0.8),
        measured: |samples| Some(samples.ratio(Figure::BroadcastCpu, 3)?.median),
    },
    Goal {
        what: "resident bytes per idle client, ws, pushmesh, 3 nodes",
        bound: Bound::AtMost(6_144.0),
        measured: |samples| samples.median(Figure::IdleBytes, 3, System::Pushmesh),
    },
];
