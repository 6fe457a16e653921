//! A replica that hangs holds up all that waits for it, or is waited for no longer and comes back with what it has missed.
//!
//! Here one of the two nodes that hold copies holds still, also beyond the time after which it is replaced where there is another one,
//! and the owner loses its power meanwhile.

use crate::plan::{Plan, Step};
use crate::scenario::keeping::{away, copied, crashes, stored};
use crate::scenario::script::{Scenario, Script, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "hanging-member",
    story: "one replica that hung held up the others (BookKeeper#1067)",
    plan,
    meets: &[
        "fault: a node holds still",
        "fault: crash",
        "kept: a message comes whose owner has crashed, from who held it",
    ],
};

fn plan() -> Plan {
    let nodes = |round: u64| round as usize % 4;
    connect_all(Script::new(4, CLIENTS, copied(60)).latency(10))
        .rounds(ROUNDS, |script, round| {
            let begin = 10_000 + 40_000 * round;
            let (owner, hangs, next) = (nodes(round), nodes(round + 1), nodes(round + 2));
            let script = (0..CLIENTS).fold(script, |script, client| {
                let script = script.at(begin, Step::Connect { client, node: owner });
                let script = away(script, begin + 1_500, client, begin + 4_500 + 100 * client as u64, next);
                // Before it hangs, and while it does.
                let script = stored(script, begin + 1_800 + 10 * client as u64, next, client, 2);
                stored(script, begin + 2_500 + 10 * client as u64, next, client, 2)
            });
            let script = script.at(begin + 2_000, Step::Pause { node: hangs });
            let resumes = begin + [3_000, 5_000, 9_000][round as usize % 3];
            let script = script.at(resumes, Step::Resume { node: hangs });
            crashes(script, begin + 4_000, owner, begin + 25_000)
        })
        .plan()
}

const CLIENTS: usize = 8;
const ROUNDS: u64 = 6;
