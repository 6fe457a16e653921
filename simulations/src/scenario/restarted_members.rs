//! A replica without a log on its disk knows nothing after a restart, and has to say so: that it has no such entry is no answer.
//!
//! Here both nodes that hold copies are started again within seconds, one after the other, and then their owner loses its power:
//! right after that, or after a while.

use crate::plan::{Plan, Step};
use crate::scenario::keeping::{away, copied, crashes, stored};
use crate::scenario::script::{Scenario, Script, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "restarted-members",
    story: "replicas that had forgotten everything counted as such that have nothing (BookKeeper BP-46)",
    plan,
    meets: &[
        "fault: crash",
        "kept: a message comes whose owner has crashed, from who held it",
        "kept: welcomed as complete",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(3, CLIENTS, copied(60)).latency(10))
        .rounds(ROUNDS, |script, round| {
            let begin = 10_000 + 45_000 * round;
            let (owner, ones, others) =
                (round as usize % 3, (round as usize + 1) % 3, (round as usize + 2) % 3);
            let crash = begin + 6_000 + [100, 1_000, 3_000, 9_000][round as usize % 4];
            let script = (0..CLIENTS).fold(script, |script, client| {
                let script = script.at(begin, Step::Connect { client, node: owner });
                let (back, next) = (crash + [50, 4_000][client % 2], [ones, others][(client / 2) % 2]);
                let script = away(script, begin + 1_500, client, back, next);
                stored(script, begin + 1_600 + 10 * client as u64, owner, client, 3)
            });
            let script = crashes(script, begin + 3_000, ones, begin + 3_500);
            let script = crashes(script, begin + 5_000, others, begin + 5_500);
            crashes(script, crash, owner, begin + 32_000)
        })
        .plan()
}

const CLIENTS: usize = 8;
const ROUNDS: u64 = 8;
