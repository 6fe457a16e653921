//! memberlist#311: in a mass restart nodes began again with small incarnations; others remembered
//! greater ones, took them for dead, and nobody told them.
//!
//! Here a boot takes an incarnation above what its disk and its peers remember, whatever the clock says,
//! and one that learns of a greater one stops and asks again. Nodes restart with clocks that are set
//! back: one by one, all at once, and behind a partition where nobody can tell them; half of them
//! have lost their disks.

use crate::plan::{Identity, Plan, Step};
use crate::scenario::script::{Scenario, Script, between, connect_all};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "clock-set-back",
    story: "after a mass restart nodes took each other for their former selves (memberlist#311)",
    plan,
    meets: &[
        "fault: wall clock set",
        "fault: restart",
        "fault: restart with an empty disk",
        "node: cannot go on",
        "checked: nodes that reach each other",
    ],
};

fn plan() -> Plan {
    let settings = Settings { disks: true, ..Settings::default() };
    let script = connect_all(Script::new(NODES, 12, settings));
    // One by one, each further back than the one before.
    let script = (0..NODES).fold(script, |script, node| {
        restart(script, node, 8_000 + 6_000 * node as u64, 500, -HOUR_MS * (node as i64 + 1))
    });
    // All at once, and nobody is left who remembers, but for the disks.
    let script = (0..NODES).fold(script, |script, node| {
        restart(script, node, 40_000, 800 + 300 * node as u64, -2 * HOUR_MS * (node as i64 + 1))
    });
    // Half of them, so far back that only the others know better, and these are not reached.
    (0..2)
        .fold(script, |script, node| restart(script, node, 60_000, 1_000, -24 * HOUR_MS * (node as i64 + 1)))
        .at(60_000, Step::Partition(between(&[0, 1], &[2, 3])))
        .at(75_000, Step::Join)
        .at(90_000, Step::Connect { client: 0, node: 1 })
        .plan()
}

/// A node loses its power, its clock, and if its number is odd its disk.
fn restart(script: Script, node: usize, at: u64, after: u64, ahead_ms: i64) -> Script {
    let identity = if node.is_multiple_of(2) { Identity::Same } else { Identity::Forgotten };
    script
        .at(at, Step::Crash { node })
        .at(at + after, Step::Clock { node, ahead_ms })
        .at(at + after, Step::Restart { node, identity })
}

const NODES: usize = 4;
const HOUR_MS: i64 = 3_600_000;
