//! An orchestrator that replaces machines stops two nodes within the same moment. Each of them asks the other one to keep its
//! sessions, as neither has heard yet that the other one stops.
//!
//! Here a node that stops keeps nothing for others any more, and leaves also what came to it at the last moment: all of it is at
//! the third node.

use crate::plan::Plan;
use crate::scenario::keeping::{away, kept, pushes, restarts};
use crate::scenario::script::{Scenario, Script, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "drains-together",
    story: "two nodes that stop at once left their sessions to each other (seen with two processes of three)",
    plan,
    meets: &["outcome: queued", "kept: a tail goes from a node that stops", "kept: welcomed as complete"],
};

fn plan() -> Plan {
    let script = connect_all(Script::new(3, CLIENTS, kept(180, 0.0)).latency(10));
    script
        .rounds(ROUNDS, |script, round| {
            let begin = 15_000 + 30_000 * round;
            let script = (0..CLIENTS).fold(script, |script, client| {
                let script = away(script, begin, client, begin + 9_000 + 50 * client as u64, client % 3);
                pushes(script, begin + 300, client % 3, client, 2)
            });
            let first = begin + 1_000;
            let second = first + APART_MS[round as usize];
            let script = restarts(script, first, 0, first + 5_000);
            restarts(script, second, 1, second + 5_000)
        })
        .plan()
}

const CLIENTS: usize = 12;
const ROUNDS: u64 = 6;
/// How long after the first the second one stops, in each round.
const APART_MS: [u64; ROUNDS as usize] = [0, 20, 100, 200, 300, 450];
