//! vernemq PR #2524: a client took its session over; the old connection, told to end, came back to life
//! instead, the takeover waited for its end, and the client was refused until a restart.
//!
//! Here a takeover waits for a bounded time and never for the old connection itself: the stamp decides.
//! The old connection breaks and reconnects at its node around the moment when the client takes over
//! on another one, a little earlier or later in each round.

use std::time::Duration;

use crate::plan::{Plan, Step};
use crate::scenario::script::{Scenario, Script, between, connect_all};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "flapping-old-session",
    story: "a flapping old session wedged a takeover (vernemq PR #2524)",
    plan,
    meets: &[
        "client: breaks its socket",
        "client: closed with 4001",
        "node: session taken over",
        "node: previous owner did not answer",
        "checked: dials answered",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(3, CLIENTS, Settings::default()))
        .rounds(ROUNDS, |script, round| {
            let begin = 8_000 + 2_500 * round;
            let delay = Duration::from_millis([0, 5, 80, 450][round as usize % 4]);
            let script = script.at(begin, Step::Hurry).at(begin, Step::Slow(between(&[0], &[1, 2]), delay));
            // The old owner does not even answer.
            let script = if round % 6 == 5 {
                script.at(begin + 900, Step::Partition(vec![(0, 1), (0, 2)])).at(begin + 2_300, Step::Join)
            } else {
                script
            };
            (0..CLIENTS).fold(script, |script, client| {
                let (old, new, phase) = (0, 1 + client % 2, client as u64 + round / 4);
                let connects = begin + 50;
                let takes_over = begin + 1_000;
                let script = script
                    .at(connects, Step::Connect { client, node: old })
                    .at(takes_over - 3, Step::Break { client })
                    .at(takes_over + phase % 7 - 3, Step::Connect { client, node: old })
                    .at(takes_over, Step::Connect { client, node: new })
                    .at(takes_over + phase % 5, Step::Connect { client, node: old })
                    .at(takes_over + 3 + phase % 13, Step::Connect { client, node: new });
                if phase % 2 == 0 {
                    return script;
                }
                script
                    .at(takes_over + 2 + phase % 11, Step::Break { client })
                    .at(takes_over + 12 + phase % 13, Step::Connect { client, node: new })
            })
        })
        .plan()
}

const CLIENTS: usize = 8;
const ROUNDS: u64 = 18;
