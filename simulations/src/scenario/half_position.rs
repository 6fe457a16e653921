//! A client that keeps segment and number apart stores one of them, crashes, and comes back with a pair that never was: Centrifugo
//! skipped the check of an epoch that was empty, and said `recovered: true`.
//!
//! Here a position is one text. Clients come back with the number of one segment under the name of another, with old
//! positions, with segments that nobody has numbered, and with nothing. Nobody is told that nothing is missing who cannot know.

use crate::plan::Plan;
use crate::scenario::keeping::{away, kept, pushes};
use crate::scenario::script::{Scenario, Script, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "half-position",
    story: "half of a position was updated, and a client was told that it had everything (Centrifugo's empty epoch)",
    plan,
    meets: &[
        "kept: a client shows half of a position",
        "kept: a client shows a forged position",
        "kept: a client shows old positions",
        "kept: a client shows no positions",
        "kept: an acknowledgement of what was not sent",
        "kept: welcomed as complete",
        "kept: welcomed as none",
        "kept: a message comes again",
        "kept: a gap of what was acknowledged",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(3, CLIENTS, kept(30, 1.0)).latency(10))
        .rounds(ROUNDS, |script, round| {
            (0..CLIENTS).fold(script, |script, client| {
                let begin = 6_000 + 2_500 * round + 3 * client as u64;
                let script = pushes(script, begin, client % 3, client, 8);
                let script = away(script, begin + 12, client, begin + 900, (client + round as usize) % 3);
                pushes(script, begin + 400, (client + 2) % 3, client, 4)
            })
        })
        .plan()
}

const CLIENTS: usize = 8;
const ROUNDS: u64 = 16;
