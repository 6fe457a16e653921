//! AnyCable's JetStream streams and Socket.IO's adapter know a client by what it has received last: one that has received
//! nothing yet comes back without a position, and what was sent meanwhile is lost.
//!
//! Here a welcome names a position before the first message. Clients that never got anything are away while something is
//! pushed, and come back to the same node and to another one.

use crate::plan::Plan;
use crate::scenario::keeping::{away, kept, pushes};
use crate::scenario::script::{Scenario, Script, connect_all};

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "idle-client",
    story: "a client that had received nothing lost what it missed (Socket.IO's recovery, AnyCable's streams)",
    plan,
    meets: &[
        "outcome: queued",
        "kept: welcomed as complete",
        "kept: a tail goes to the next owner",
        "kept: a segment is closed",
        "checked: messages that kept sessions accepted, and sessions that are over",
    ],
};

fn plan() -> Plan {
    connect_all(Script::new(3, CLIENTS, kept(30, 0.0)).latency(20))
        .rounds(ROUNDS, |script, round| {
            (0..CLIENTS).fold(script, |script, client| {
                let begin = 6_000 + 4_000 * round + 7 * client as u64;
                let back = (client + round as usize) % 3;
                let script = away(script, begin, client, begin + 1_500 + 10 * client as u64, back);
                // Every second client is away in vain, and has nothing to show but where it was.
                let due = if client % 2 == 0 || round + 1 == ROUNDS { 5 } else { 0 };
                pushes(script, begin + 500, (client + 1) % 3, client, due)
            })
        })
        .plan()
}

const CLIENTS: usize = 6;
const ROUNDS: u64 = 6;
