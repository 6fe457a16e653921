//! emqx PR #6393: a message that came while a session was taken over was both forwarded and in what was handed over.
//!
//! Here the former owner freezes the session first, and decides each message once. A push comes in every millisecond around
//! a takeover, by way of every node, whatever step the takeover has come to.

use std::time::Duration;

use crate::plan::{Plan, Step};
use crate::scenario::keeping::{kept, pushes};
use crate::scenario::script::{Scenario, Script, between, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "pushed-through-takeover",
    story: "a message that came during a takeover was forwarded and handed over (emqx PR #6393)",
    plan,
    meets: &[
        "client: closed with 4001",
        "node: session taken over",
        "outcome: delivered",
        "outcome: queued",
        "kept: welcomed as complete",
        "kept: a tail goes to the next owner",
        "checked: messages of sessions that have let go",
        "checked: numbers of kept sessions",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(3, CLIENTS, kept(30, 0.3)).latency(5))
        .rounds(ROUNDS, |script, round| {
            let begin = 7_000 + 1_500 * round;
            let delay = Duration::from_millis([0, 3, 15, 40][round as usize % 4]);
            let script = script.at(begin, Step::Hurry).at(begin, Step::Slow(between(&[0], &[1, 2]), delay));
            (0..CLIENTS).fold(script, |script, client| {
                let taken = begin + 300 + 11 * client as u64;
                let next = (client + round as usize + 1) % 3;
                let script = script.at(taken, Step::Connect { client, node: next });
                // The connection before is gone a little earlier, a little later, or not at all.
                let script = match round % 3 {
                    0 => script.at(taken - 4, Step::Break { client }),
                    _ => script,
                };
                (0..3).fold(script, |script, node| pushes(script, taken - 20 + node as u64, node, client, 60))
            })
        })
        .plan()
}

const CLIENTS: usize = 4;
const ROUNDS: u64 = 18;
