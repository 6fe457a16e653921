//! Sticky balancing loses with its node what the node held, and a rolling restart loses what the node held to which the first
//! one has left it.
//!
//! Here a node that stops leaves its sessions to another one, which does the same when it stops in its turn. Clients are away
//! through both, and something is pushed to them all the time.

use crate::plan::Plan;
use crate::scenario::keeping::{away, kept, pushes, restarts};
use crate::scenario::script::{Scenario, Script, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "two-drains",
    story: "a rolling restart lost what clients missed that were away (sessions in a server's memory)",
    plan,
    meets: &[
        "fault: rolling restart",
        "client: closed with 1012",
        "outcome: queued",
        "kept: a tail goes from a node that stops",
        "kept: welcomed as complete",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(3, CLIENTS, kept(60, 0.0)).latency(10))
        .rounds(ROUNDS, |script, round| {
            let begin = 8_000 + 30_000 * round;
            let script = (0..CLIENTS).fold(script, |script, client| {
                let gone = begin + 50 * client as u64;
                // Some are connected when their nodes stop.
                let script = if client % 3 == 0 {
                    script
                } else {
                    away(script, gone, client, begin + 22_000 + 100 * client as u64, client % 3)
                };
                (0..10).fold(script, |script, moment| {
                    pushes(script, gone + 300 + 2_000 * moment, (client + moment as usize) % 3, client, 2)
                })
            });
            (0..3).fold(script, |script, node| {
                let stops = begin + 1_000 + 6_000 * node as u64;
                restarts(script, stops, node, stops + 3_000)
            })
        })
        .plan()
}

const CLIENTS: usize = 9;
const ROUNDS: u64 = 2;
