//! A server that tells its publisher first and its replicas later loses what it has just promised.
//!
//! Here a node loses its power within milliseconds of the pushes to its clients: those that wait until they are stored, and those that do
//! not. Some of the clients acknowledge at once, some do not read, some are away.

use crate::plan::{Plan, Step};
use crate::scenario::keeping::{copied, crashes, pushes, stored};
use crate::scenario::script::{Scenario, Script, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "killed-at-once",
    story: "what was confirmed right before the kill was with nobody else (Redis' WAIT, replicas that follow later)",
    plan,
    meets: &[
        "fault: crash",
        "checked: pushes called stored",
        "kept: a message comes whose owner has crashed, from who held it",
        "kept: welcomed as complete",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(NODES, CLIENTS, copied(60)).latency(2))
        .rounds(ROUNDS, |script, round| {
            let begin = 10_000 + 25_000 * round;
            let (node, crash) = (round as usize % NODES, begin + 4_000);
            let elsewhere = |step: usize| (node + 1 + step % (NODES - 1)) % NODES;
            let script = (0..CLIENTS).fold(script, |script, client| {
                let script = script.at(begin + 20 * client as u64, Step::Connect { client, node });
                let gone = crash - 500;
                let script = match client % 3 {
                    0 => script.at(gone, Step::Leave { client, politely: false }),
                    1 => script.at(gone, Step::Stall { client, for_ms: 2_000 }),
                    _ => script,
                };
                let before = 1 + BEFORE_MAX_MS * client as u64 / CLIENTS as u64;
                let script = stored(script, crash - before, elsewhere(client), client, 2);
                let script = pushes(script, crash - before, elsewhere(client + 1), client, 2);
                let back = crash + [20, 400, 2_500][(client / 3 + round as usize) % 3];
                script.at(back, Step::Connect { client, node: elsewhere(client + 2) })
            });
            crashes(script, crash, node, begin + 15_000)
        })
        .plan()
}

const NODES: usize = 4;
const CLIENTS: usize = 20;
const ROUNDS: u64 = 6;
/// Source: what was pushed so long before has been with another node, or not, by a millisecond or two.
const BEFORE_MAX_MS: u64 = 20;
