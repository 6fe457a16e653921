//! How a scenario is written: what it says of itself, and its plan, step by step.

use std::time::Duration;

use crate::id::NodeIndex;
use crate::plan::{Plan, Step};
use crate::settings::Settings;

/// A run that is written down.
pub(crate) struct Scenario {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What went wrong, and where that was reported.
    pub(crate) story: &'static str,
    /// What happens.
    pub(crate) plan: fn() -> Plan,
    /// The cases that it must meet, by their names in the coverage table.
    pub(crate) meets: &'static [&'static str],
}

/// All clients connect, one after the other, to one node after the other.
pub(super) fn connect_all(script: Script) -> Script {
    let (nodes, clients) = (script.0.nodes, script.0.clients);
    (0..clients).fold(script, |script, client| {
        script.at(4_000 + 10 * client as u64, Step::Connect { client, node: client % nodes })
    })
}

/// All paths between one group of nodes and another, in both directions.
pub(super) fn between(ones: &[NodeIndex], others: &[NodeIndex]) -> Vec<(NodeIndex, NodeIndex)> {
    let there = ones.iter().flat_map(|one| others.iter().map(|other| (*one, *other)));
    there.flat_map(|(one, other)| [(one, other), (other, one)]).collect()
}

/// Writes a plan.
pub(crate) struct Script(Plan);

impl Script {
    /// That many nodes and clients; nobody does anything, and no packet takes longer than a millisecond.
    pub(crate) fn new(nodes: usize, clients: usize, settings: Settings) -> Self {
        Self(Plan {
            nodes,
            clients,
            faults_end_ms: 0,
            skews_ms: vec![0; nodes],
            settings,
            latency_max: Duration::from_millis(1),
            steps: Default::default(),
        })
    }

    /// At that millisecond, and after what was written for it before.
    pub(crate) fn at(mut self, at_ms: u64, step: Step) -> Self {
        self.0.steps.entry(at_ms).or_default().push(step);
        self.0.faults_end_ms = self.0.faults_end_ms.max(at_ms + 1);
        self
    }

    /// Does the same so many times, each with its number.
    pub(crate) fn rounds(self, rounds: u64, round: impl FnMut(Self, u64) -> Self) -> Self {
        (0..rounds).fold(self, round)
    }

    /// Packets and segments take up to so long.
    pub(crate) fn latency(mut self, longest_ms: u64) -> Self {
        self.0.latency_max = Duration::from_millis(longest_ms);
        self
    }

    /// The plan. The faults end a millisecond after its last step.
    pub(crate) fn plan(self) -> Plan {
        self.0
    }
}
