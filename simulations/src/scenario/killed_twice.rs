//! A replica that is promoted and fails before it has replicas of its own takes with it what it has got.
//!
//! Here a node loses its power, and so does the one to which its clients have gone, while it takes over what others hold: after a few
//! milliseconds, or once it says that all is there.

use crate::plan::{Plan, Step};
use crate::scenario::keeping::{away, copied, crashes, stored};
use crate::scenario::script::{Scenario, Script, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "killed-twice",
    story: "a new owner failed before it had copies of its own (BookKeeper#2614, #1390: recovery that fails half-way)",
    plan,
    meets: &[
        "fault: crash",
        "kept: a message comes whose owner has crashed, from who held it",
        "kept: welcomed as complete",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(NODES, CLIENTS, copied(120)).latency(10))
        .rounds(ROUNDS, |script, round| {
            let begin = 10_000 + 40_000 * round;
            let at = |step: usize| (round as usize + step) % NODES;
            let crash = begin + 3_000;
            let second = crash + [310, 340, 380, 430, 500, 700, 1_500][round as usize % 7];
            let script = (0..CLIENTS).fold(script, |script, client| {
                let script = script.at(begin, Step::Connect { client, node: at(0) });
                let script = away(script, begin + 1_500, client, crash + 300, at(1));
                let script = stored(script, begin + 2_000 + 10 * client as u64, at(2), client, 4);
                script.at(second + 800 + 30 * client as u64, Step::Connect { client, node: at(3) })
            });
            let script = crashes(script, crash, at(0), begin + 25_000);
            crashes(script, second, at(1), begin + 27_000)
        })
        .plan()
}

const NODES: usize = 6;
const CLIENTS: usize = 8;
const ROUNDS: u64 = 7;
