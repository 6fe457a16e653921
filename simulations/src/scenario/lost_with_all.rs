//! Replicas that have forgotten everything make a log look complete that is not.
//!
//! Here an owner loses its power together with two of the four others, so that of some groups nobody is left who holds anything; those three are
//! started again soon, and know nothing. What is lost then is lost: but nobody is told that it has everything. Clients of the other groups get theirs.

use crate::plan::{Plan, Step};
use crate::scenario::keeping::{away, copied, crashes, stored};
use crate::scenario::script::{Scenario, Script, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "lost-with-all",
    story: "an empty log of replicas that had been started again was taken for the whole (BookKeeper BP-46)",
    plan,
    meets: &[
        "fault: crash",
        "kept: a message comes whose owner has crashed, from who held it",
        "kept: welcomed as complete",
        "kept: partial, after waiting",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(NODES, CLIENTS, copied(60)).latency(10))
        .rounds(ROUNDS, |script, round| {
            let begin = 10_000 + 45_000 * round;
            let at = |step: usize| (round as usize + step) % NODES;
            let crash = begin + 6_000;
            let script = (0..CLIENTS).fold(script, |script, client| {
                let script = script.at(begin + 20 * client as u64, Step::Connect { client, node: at(0) });
                let back = crash + [300, 6_000, 15_000][(client + round as usize) % 3];
                let script = away(script, begin + 2_000, client, back, at(3 + client % 2));
                stored(script, begin + 2_500 + 10 * client as u64, at(3), client, 2)
            });
            let script = crashes(script, crash, at(1), crash + 2_000);
            let script = crashes(script, crash, at(2), crash + 3_000);
            crashes(script, crash, at(0), crash + 2_500 + 10_000 * (round % 2))
        })
        .plan()
}

const NODES: usize = 5;
const CLIENTS: usize = 12;
const ROUNDS: u64 = 3;
