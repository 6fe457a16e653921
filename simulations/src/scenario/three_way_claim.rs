//! syn#44: processes of one name on three nodes, conflicts solved pair by pair, and more than one stayed
//! for ever.
//!
//! Here every node ranks all claims that it sees in the same order, and the others let go. Clients hold a
//! connection on each of three sides that do not reach each other, until the sides have buried each
//! other or only for a moment, and then exactly one stays.

use pushmesh::config::Tuning;

use crate::plan::{Plan, Step};
use crate::scenario::script::{Scenario, Script, between, connect_all};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "three-way-claim",
    story: "of three claims at once more than one stayed (syn#44)",
    plan,
    meets: &[
        "client: connected to three nodes",
        "client: closed with 4001",
        "node: called one dead that runs",
    ],
};

fn plan() -> Plan {
    // What a side has missed of another comes as a full state.
    let tuning = Tuning { change_ring: 2, delta_changes: 2, ..Tuning::default() };
    connect_all(Script::new(6, CLIENTS, Settings { tuning, ..Settings::default() }))
        .rounds(ROUNDS, |script, round| {
            let begin = 8_000 + 14_000 * round;
            // A moment; so long that links are lost; so long that all are dead to each other.
            let joined = begin + [9_000, 2_500, 9_000, 5_000, 5_200, 5_400][round as usize];
            let script = apart(script, begin);
            let script = (0..CLIENTS).fold(script, |script, client| {
                (0..3).fold(script, |script, side| {
                    let node = 2 * ((side + client) % 3) + client % 2;
                    // All at once, or one after the other.
                    let at = joined - 1_000 + if round < 2 { 0 } else { 40 * side as u64 };
                    script.at(at, Step::Connect { client, node })
                })
            });
            // Two sides meet before the third.
            if round == 2 {
                return script
                    .at(joined, Step::Join)
                    .at(joined, Step::Partition(between(&[0, 1, 2, 3], &[4, 5])))
                    .at(joined + 2_000, Step::Join);
            }
            script.at(joined, Step::Join)
        })
        .rounds(2, |script, round| told_while_hidden(script, 8_000 + 14_000 * ROUNDS + 30_000 * round))
        .plan()
}

/// Of the first and the third side each buries the other; the second one then carries the newer claims
/// of the third to the first, which hides them. They count when both meet again.
fn told_while_hidden(script: Script, begin: u64) -> Script {
    let (met, parted) = (begin + 9_000, begin + 14_000);
    let script = apart(script, begin)
        .at(met, Step::Join)
        .at(met, Step::Partition(between(&[0, 1], &[2, 3, 4, 5])))
        .at(parted, Step::Join)
        .at(parted, Step::Partition(between(&[0, 1, 2, 3], &[4, 5])))
        .at(parted + 6_000, Step::Join);
    (0..CLIENTS).fold(script, |script, client| {
        script
            .at(met + 500, Step::Connect { client, node: client % 2 })
            .at(met + 3_000, Step::Connect { client, node: 4 + client % 2 })
    })
}

/// From then on no side reaches another.
fn apart(script: Script, at: u64) -> Script {
    script
        .at(at, Step::Partition(between(&[0, 1], &[2, 3, 4, 5])))
        .at(at, Step::Partition(between(&[2, 3], &[4, 5])))
}

const CLIENTS: usize = 8;
const ROUNDS: u64 = 6;
