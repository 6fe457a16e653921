//! emqx PR #17424: a session ended during a partition, the healing brought its row back, and nobody
//! was left who would remove it; its client could not connect any more.
//!
//! Here nobody keeps rows of his own of somebody else: a copy is the owner's map at a position, and a
//! full state replaces the former copy whole. Clients leave, some or many, while their node is not heard
//! for a moment or so long that it counts as dead, and come back here or elsewhere.

use pushmesh::config::Tuning;

use crate::plan::{Plan, Step};
use crate::scenario::script::{Scenario, Script, between};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "ghost-after-partition",
    story: "a session that ended in a partition came back as a ghost (emqx PR #17424)",
    plan,
    meets: &["fault: partition", "client: leaves", "node: snapshot taken", "node: called another one dead"],
};

fn plan() -> Plan {
    let tuning = Tuning { change_ring: 8, delta_changes: 8, ..Tuning::default() };
    let script = Script::new(3, CLIENTS, Settings { tuning, ..Settings::default() });
    (0..CLIENTS)
        .fold(script, |script, client| {
            script.at(4_000 + 10 * client as u64, Step::Connect { client, node: 0 })
        })
        .rounds(ROUNDS, |script, round| {
            let begin = 8_000 + 14_000 * round;
            let pairs = match round % 3 {
                0 => between(&[0], &[1, 2]),
                // It hears the others, and they do not hear it.
                1 => vec![(0, 1), (0, 2)],
                _ => between(&[0], &[1]),
            };
            let joined = begin + if round % 2 == 0 { 9_000 } else { 2_000 };
            // So many that the owner has forgotten the changes, or so few that it has not.
            let leaving = if round < ROUNDS / 2 { 3 } else { 15 };
            let script = script.at(begin, Step::Partition(pairs)).at(joined, Step::Join);
            (0..leaving).fold(script, |script, client| {
                let politely = client % 2 == 0;
                let script = script.at(begin + 500 + client as u64, Step::Leave { client, politely });
                // The last round leaves them away: nobody's claim hides what was forgotten.
                if round + 1 == ROUNDS {
                    return script;
                }
                let node = if client % 3 == 0 { 1 } else { 0 };
                script
                    .at(joined + 2_000, Step::Connect { client, node })
                    .at(joined + 3_000, Step::Connect { client, node: 0 })
            })
        })
        .plan()
}

const CLIENTS: usize = 24;
const ROUNDS: u64 = 6;
