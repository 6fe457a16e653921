//! horde#250: two processes claimed a name at once; each saw the other one's claim win, and both ended.
//!
//! Here claims of one key have different ranks, by stamp and then by the name of the node, and only a
//! strictly greater one excludes. Clients connect to two nodes in the same millisecond, over and over,
//! while the nodes hear of each other soon, late, or later in one direction.

use std::time::Duration;

use crate::plan::{Plan, Step};
use crate::scenario::script::{Scenario, Script, between, connect_all};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "both-lose",
    story: "of two that claimed a key at once both lost it (horde#250)",
    plan,
    meets: &["client: connected to two nodes", "client: closed with 4001", "fault: slow paths"],
};

fn plan() -> Plan {
    connect_all(Script::new(NODES, CLIENTS, Settings::default()))
        .rounds(ROUNDS, |script, round| {
            let begin = 8_000 + 1_500 * round;
            let delay = Duration::from_millis([0, 3, 40, 150, 400][round as usize % 5]);
            let paths = match round % 2 {
                0 => between(&[0, 1], &[2, 3]),
                _ => vec![(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)],
            };
            let script = script.at(begin, Step::Hurry).at(begin, Step::Slow(paths, delay));
            (0..CLIENTS).fold(script, |script, client| {
                let one = (client + round as usize) % NODES;
                let other = (one + 1 + client % (NODES - 1)) % NODES;
                script
                    .at(begin + 20, Step::Connect { client, node: one })
                    .at(begin + 20, Step::Connect { client, node: other })
            })
        })
        .plan()
}

const NODES: usize = 4;
const CLIENTS: usize = 9;
const ROUNDS: u64 = 30;
