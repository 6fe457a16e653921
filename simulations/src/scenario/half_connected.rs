//! consul#5928: one node that reached only some others accused those that it did not reach; the others
//! spread the accusations, and healthy nodes flapped.
//!
//! Here the verdict on a member is each node's own and is never gossiped. One node has paths that are
//! cut in one direction, or that lose most packets, to some; the others reach each other all along, and
//! each of them has to call each other alive.

use crate::plan::{Plan, Step};
use crate::scenario::script::{Scenario, Script, connect_all};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "half-connected",
    story: "one half-connected node made the others flap (consul#5928)",
    plan,
    meets: &["fault: partition", "node: called another one dead", "checked: nodes that reach each other"],
};

fn plan() -> Plan {
    let script = connect_all(Script::new(NODES, 12, Settings::default()))
        // It does not reach two of them, and is not reached by a third.
        .at(8_000, Step::Partition(vec![(HALF, 1), (HALF, 2), (3, HALF)]))
        .at(22_000, Step::Join)
        // It hears nobody, and all hear it.
        .at(24_000, Step::Partition((1..NODES).map(|node| (node, HALF)).collect()))
        .at(36_000, Step::Join)
        // All but one are gone for it.
        .at(38_000, Step::Partition((2..NODES).flat_map(|node| [(node, HALF), (HALF, node)]).collect()))
        .at(50_000, Step::Join);
    // Most of what it sends to some is lost, and some of what it is sent.
    script
        .rounds(60, |script, round| {
            let at = 52_000 + 200 * round;
            let lossy = (1..4).flat_map(|node| [(HALF, node), (node, HALF)]);
            let lost = lossy.enumerate().filter(|(path, _)| !(round as usize + path).is_multiple_of(5));
            script
                .at(at, Step::Join)
                .at(at, Step::Partition(lost.map(|(_, pair)| pair).collect()))
                .at(at + 150, Step::Join)
        })
        .plan()
}

const NODES: usize = 6;
/// The node that is half connected.
const HALF: usize = 0;
