//! chitchat#178 and quickwit PR #6653: a digest outgrew its packet, or gossip ended for another reason,
//! and the node served on with a view of the cluster that was frozen.
//!
//! Here a node whose gossip ends stops; and long messages of gossip travel over streams. A simulation
//! does not reach the thousand boots that fill a message, so here are many nodes with many former
//! selves, in weather where long messages are lost most. Then all have to see each other, and two pairs
//! whose path is cut hear of each other by gossip alone.

use std::time::Duration;

use crate::network::Weather;
use crate::plan::{Identity, Plan, Step};
use crate::scenario::script::{Scenario, Script, between, connect_all};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "digest-overflow",
    story: "gossip outgrew its packets and was dead unnoticed (chitchat#178, quickwit PR #6653)",
    plan,
    meets: &[
        "fault: replaced by a node of another name",
        "fault: packets lost, doubled, reordered",
        "fault: large packets swallowed",
        "checked: nodes that reach each other",
    ],
};

fn plan() -> Plan {
    let weather = Weather {
        loss: 0.3,
        duplication: 0.1,
        reordering: 0.2,
        held_back_max: Duration::from_millis(100),
        corruption: 0.0,
    };
    connect_all(Script::new(NODES, NODES, Settings::default()))
        .rounds(4 * NODES as u64, |script, round| {
            let (node, at) = (round as usize % NODES, 8_000 + 400 * round);
            let identity = if round % 2 == 0 { Identity::Replaced } else { Identity::Same };
            script.at(at, Step::Crash { node }).at(at + 250, Step::Restart { node, identity })
        })
        .at(12_000, Step::Weather(weather))
        .at(22_000, Step::Weather(Weather::FAIR))
        .at(22_000, Step::Swallow(Some(1_250)))
        .at(26_000, Step::Swallow(None))
        // Now these hear of each other by gossip alone.
        .at(28_000, Step::Partition([between(&[0], &[1]), between(&[2], &[3])].concat()))
        // Long enough that all who reach each other have to say so.
        .at(45_000, Step::Connect { client: 0, node: 1 })
        .plan()
}

const NODES: usize = 8;
