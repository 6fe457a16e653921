//! A session that is kept in the memory of its node is found by nobody once that is gone: until its client is back, whatever is pushed
//! to it is refused.
//!
//! Here a node loses its power whose clients are away, and is started again soon, or not for a while. Nobody comes back before something
//! was pushed to each.

use crate::plan::{Plan, Step};
use crate::scenario::keeping::{away, copied, crashes, pushes};
use crate::scenario::script::{Scenario, Script, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "absent-client",
    story: "persistent sessions of clients that are away went with their node (EMQX 4, VerneMQ)",
    plan,
    meets: &[
        "fault: crash",
        "kept: a session is kept on whose owner is gone",
        "outcome: queued",
        "kept: welcomed as complete",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(NODES, CLIENTS, copied(60)).latency(10))
        .rounds(ROUNDS, |script, round| {
            let begin = 10_000 + 45_000 * round;
            let (node, crash) = (round as usize % NODES, begin + 4_000);
            let elsewhere = |client: usize| (node + 1 + client % (NODES - 1)) % NODES;
            let script = (0..CLIENTS).fold(script, |script, client| {
                let script = script.at(begin, Step::Connect { client, node });
                let (gone, pushed) =
                    (begin + 2_000 + 20 * client as u64, crash + 10_000 + 50 * client as u64);
                let script = away(script, gone, client, pushed + 3_000, elsewhere(client));
                pushes(script, pushed, elsewhere(client + 1), client, 3)
            });
            crashes(script, crash, node, crash + [1_000, 25_000][round as usize % 2])
        })
        .plan()
}

const NODES: usize = 4;
const CLIENTS: usize = 12;
const ROUNDS: u64 = 6;
