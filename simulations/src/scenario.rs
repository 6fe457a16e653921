//! Scenarios: runs whose plan is written by hand, each for a failure that another system shipped.
//!
//! All checkers watch them as any run. A scenario also says which cases it must meet, so that it fails
//! when it does not bring its situation about any more.

use std::time::Duration;

use crate::host::Settings;
use crate::plan::{Plan, Step};

mod replaced_node;

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

/// All scenarios.
pub(crate) const ALL: &[Scenario] = &[replaced_node::SCENARIO];

/// Finds a scenario.
///
/// # Errors
/// There is none of that name; says which there are.
pub(crate) fn find(name: &str) -> anyhow::Result<&'static Scenario> {
    let known = || ALL.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
    let found = ALL.iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| anyhow::anyhow!("there is no scenario {name:?}; there are {}", known()))
}

/// All clients connect, one after the other, to one node after the other.
fn connect_all(script: Script) -> Script {
    let (nodes, clients) = (script.0.nodes, script.0.clients);
    (0..clients).fold(script, |script, client| {
        script.at(4_000 + 10 * client as u64, Step::Connect { client, node: client % nodes })
    })
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

    /// The plan. The faults end a millisecond after its last step.
    pub(crate) fn plan(self) -> Plan {
        self.0
    }
}
