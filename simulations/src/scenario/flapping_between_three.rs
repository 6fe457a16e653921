//! A client that goes from one node to a second and on to a third, while the second still asks the first: what the first holds
//! goes to a node that has let go itself, as in vernemq PR #2524 and emqx issue #16027.
//!
//! Here a node that is asked to let go answers when what it owes was offered to who asks, and a hand-over follows the session
//! from owner to owner. Messages come all the time.

use std::time::Duration;

use crate::plan::{Plan, Step};
use crate::scenario::keeping::{kept, pushes};
use crate::scenario::script::{Scenario, Script, between, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "flapping-between-three",
    story: "a client went on before its messages had arrived, and they stayed behind (vernemq PR #2524)",
    plan,
    meets: &[
        "client: connected to two nodes",
        "client: closed with 4001",
        "kept: a tail goes to the next owner",
        "kept: welcomed as complete",
        "kept: welcomed as pending",
        "kept: complete after all",
        "kept: a message comes again",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(3, CLIENTS, kept(30, 0.2)).latency(10))
        .rounds(ROUNDS, |script, round| {
            let begin = 7_000 + 2_200 * round;
            let delay = Duration::from_millis([0, 20, 90, 300][round as usize % 4]);
            let slow = [round as usize % 3];
            let others: Vec<_> = (0..3).filter(|node| *node != slow[0]).collect();
            let script = script.at(begin, Step::Hurry).at(begin, Step::Slow(between(&slow, &others), delay));
            (0..CLIENTS).fold(script, |script, client| {
                let at = begin + 100 + 13 * client as u64;
                let script = pushes(script, at, (client + 1) % 3, client, 40);
                let pause = [1, 4, 12, 60][(client + round as usize) % 4];
                (0..4).fold(script, |script, step| {
                    let node = (client + round as usize + step as usize) % 3;
                    let script = script.at(at + 10 + pause * step, Step::Connect { client, node });
                    if round % 2 == 0 {
                        script.at(at + 9 + pause * step, Step::Break { client })
                    } else {
                        script
                    }
                })
            })
        })
        .plan()
}

const CLIENTS: usize = 6;
const ROUNDS: u64 = 16;
