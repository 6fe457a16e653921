//! An adapter that stores a session when its socket closes has nothing of one whose node was killed.
//!
//! Here a node loses its power that holds messages for clients that are away, that do not read, and that are connected and have not
//! acknowledged yet. They are back at other nodes.

use crate::plan::{Plan, Step};
use crate::scenario::keeping::{copied, crashes, pushes, stored};
use crate::scenario::script::{Scenario, Script, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "killed-owner",
    story: "what a node held for clients was lost with it (Socket.IO's adapters, which store a session when its socket closes)",
    plan,
    meets: &[
        "fault: crash",
        "outcome: queued",
        "kept: a message comes whose owner has crashed, from who held it",
        "kept: welcomed as complete",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(NODES, CLIENTS, copied(60)).latency(10))
        .rounds(ROUNDS, |script, round| {
            let begin = 10_000 + 25_000 * round;
            let node = round as usize % NODES;
            let script = (0..CLIENTS).fold(script, |script, client| {
                let elsewhere = |step: usize| (node + 1 + (client + step) % (NODES - 1)) % NODES;
                let gone = begin + 1_500 + 20 * client as u64;
                let script = script.at(begin + 20 * client as u64, Step::Connect { client, node });
                let script = match client % 3 {
                    0 => script.at(gone, Step::Leave { client, politely: false }),
                    1 => script.at(gone, Step::Stall { client, for_ms: 2_000 }),
                    _ => script,
                };
                let script = stored(script, gone + 100, elsewhere(0), client, 3);
                let script = pushes(script, gone + 300, elsewhere(1), client, 3);
                let back = begin + 3_000 + [30, 700, 2_500][(client + round as usize) % 3];
                script.at(back, Step::Connect { client, node: elsewhere(2) })
            });
            crashes(script, begin + 3_000, node, begin + 15_000)
        })
        .plan()
}

const NODES: usize = 5;
const CLIENTS: usize = 12;
const ROUNDS: u64 = 6;
