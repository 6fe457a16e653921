//! delta_crdt_ex#65: a batch of changes was cut at its longest, and still said that it knew everything up
//! to its end. Whoever merged it took what was left out as deleted.
//!
//! Here a delta says up to which version it reaches, a truncated one up to where it was cut, and carries
//! the hash of the section there; a full state has to add up to its end before anybody sees it. Bounds
//! are tiny, dozens of changes come at once, and cuts fall into deltas and full states.

use std::time::Duration;

use pushmesh::config::Tuning;

use crate::plan::{Identity, Plan, Step};
use crate::scenario::script::{Scenario, Script, between};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "truncated-batch",
    story: "a truncated batch deleted live keys (delta_crdt_ex#65)",
    plan,
    meets: &["node: delta taken", "node: snapshot taken", "fault: partition", "fault: crash"],
};

fn plan() -> Plan {
    let tuning = Tuning {
        change_ring: 12,
        relay_changes: 2,
        delta_changes: 3,
        snapshot_chunk_entries: 2,
        ..Tuning::default()
    };
    let script = Script::new(3, CLIENTS, Settings { tuning, ..Settings::default() }).latency(5);
    (0..CLIENTS)
        .fold(script, |script, client| {
            script.at(4_000 + 10 * client as u64, Step::Connect { client, node: client % 2 })
        })
        .rounds(ROUNDS, |script, round| {
            let begin = 7_000 + round * 3_000;
            let script = churn(script, begin, round);
            // A cut, or a slow path, begins a little later in each round.
            let cut = begin + 5 + 7 * round;
            let script = script
                .at(begin, Step::Slow(vec![(0, 2), (1, 2)], Duration::from_millis(20 * (round % 4))))
                .at(cut, Step::Partition(between(&[0], &[1 + round as usize % 2])))
                .at(cut + 40 + 300 * (round % 3), Step::Join)
                .at(cut + 1_200, Step::Hurry);
            if round % 3 != 2 {
                return script;
            }
            // Who comes back takes full states, while the owners write on.
            let script = churn(script, begin + 1_700, round + 1);
            script
                .at(begin + 500, Step::Crash { node: 2 })
                .at(begin + 600, Step::Restart { node: 2, identity: Identity::Same })
                .at(begin + 1_700 + 10 * round, Step::Partition(between(&[2], &[0, 1])))
                .at(begin + 2_000 + 10 * round, Step::Join)
        })
        // At last a batch for a new link, longer than a delta and shorter than what the owner remembers,
        // and nothing that would mend what it broke.
        .at(LAST_MS, Step::Partition(between(&[0], &[1, 2])))
        .at(LAST_MS, Step::Partition(between(&[1], &[2])))
        .rounds(20, |script, client| {
            script.at(LAST_MS + 500, Step::Leave { client: client as usize, politely: true })
        })
        .at(LAST_MS + 9_000, Step::Join)
        .plan()
}

/// Many clients leave and come back within some milliseconds.
fn churn(script: Script, at: u64, round: u64) -> Script {
    (0..CLIENTS / 2).fold(script, |script, change| {
        let client = (change * 2 + round as usize) % CLIENTS;
        let left = at + change as u64;
        script.at(left, Step::Leave { client, politely: change % 3 == 0 }).at(
            left + 15 + 3 * (change as u64 % 8),
            Step::Connect { client, node: (client + change % 5 / 4) % 2 },
        )
    })
}

const CLIENTS: usize = 60;
const ROUNDS: u64 = 16;
const LAST_MS: u64 = 8_000 + ROUNDS * 3_000;
