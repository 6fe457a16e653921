//! An owner that is cut off goes on, and so does the next one on the other side: what both accept has to arrive.
//!
//! Here the client of a node that the others do not reach goes to another one, and comes back to the first, which has not heard of
//! that: before the cut has healed, and after it.

use crate::plan::{Plan, Step};
use crate::scenario::keeping::{away, copied, pushes, stored};
use crate::scenario::script::{Scenario, Script, between, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "deaf-owner",
    story: "an owner that was deposed on the other side of a cut said that nothing was missing (split brain)",
    plan,
    meets: &[
        "fault: partition",
        "kept: partial, after waiting",
        "kept: complete after all",
        "kept: welcomed as complete",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(4, CLIENTS, copied(60)).latency(10))
        .rounds(ROUNDS, |script, round| {
            let begin = 10_000 + 40_000 * round;
            let first = round as usize % 4;
            let others: Vec<_> = (0..4).filter(|node| *node != first).collect();
            let next = others[0];
            let heals = begin + 12_000;
            let script = (0..CLIENTS).fold(script, |script, client| {
                let moment = 30 * client as u64;
                let script = script.at(begin + moment, Step::Connect { client, node: first });
                let script = away(script, begin + 1_500 + moment, client, begin + 5_000 + moment, next);
                // One before the cut, one on each side of it.
                let script = stored(script, begin + 1_700 + moment, first, client, 2);
                let script = pushes(script, begin + 3_500 + moment, first, client, 2);
                let script = stored(script, begin + 6_500 + moment, others[1], client, 2);
                let back = if client % 2 == 0 { begin + 8_000 } else { heals + 3_000 };
                script.at(back + moment, Step::Connect { client, node: first })
            });
            let script = script.at(begin + 3_000, Step::Partition(between(&[first], &others)));
            script.at(heals, Step::Join)
        })
        .plan()
}

const CLIENTS: usize = 6;
const ROUNDS: u64 = 5;
