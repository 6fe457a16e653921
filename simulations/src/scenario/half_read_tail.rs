//! A client comes back to more than fits into a window, reads a part of it, and is gone again; the next node has to go on where the
//! client is, and not where the former node had come to.
//!
//! Here everything stays until it is acknowledged. Clients read tails of several windows in parts, at one node after the
//! other, and lose acknowledgements on the way.

use crate::plan::{Plan, Step};
use crate::scenario::keeping::{kept, pushes};
use crate::scenario::script::{Scenario, Script, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "half-read-tail",
    story: "what was written and not read was taken for delivered (EMQX and VerneMQ lose it with the node)",
    plan,
    meets: &[
        "outcome: queued",
        "kept: a tail goes to the next owner",
        "kept: welcomed as complete",
        "kept: a message comes again",
        "kept: a segment is closed",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(3, CLIENTS, kept(30, 0.8)).latency(10))
        .rounds(ROUNDS, |script, round| {
            let begin = 7_000 + 9_000 * round;
            (0..CLIENTS).fold(script, |script, client| {
                let begin = begin + 5 * client as u64;
                let script = script.at(begin, Step::Leave { client, politely: false });
                // Two windows and more.
                let script = pushes(script, begin + 200, client % 3, client, 600);
                (0..4).fold(script, |script, step| {
                    let node = (client + round as usize + step as usize) % 3;
                    let at = begin + 1_500 + 900 * step;
                    script
                        .at(at, Step::Connect { client, node })
                        .at(at + 60 + 7 * step, Step::Break { client })
                })
            })
        })
        .plan()
}

const CLIENTS: usize = 3;
const ROUNDS: u64 = 4;
