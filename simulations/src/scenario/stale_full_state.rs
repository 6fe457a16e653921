//! phoenix_pubsub#148: a fresh node has merged the newest delta of a section, when a third node's full
//! state arrives that lacks the last updates. It was admitted entry by entry, and old values came back.
//!
//! Here a full state has one position, and a copy only ever moves to a greater one; that is looked at
//! when a snapshot begins and again when it ends. The fresh node asks the third one while it does not
//! reach the owner, on a path so slow that the owner is there before the answer.

use std::time::Duration;

use pushmesh::config::Tuning;

use crate::plan::{Identity, Plan, Step};
use crate::scenario::script::{Scenario, Script, between};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "stale-full-state",
    story: "a stale full state from a third node undid a newer delta (phoenix_pubsub#148)",
    plan,
    meets: &["node: section pulled from a third node", "node: snapshot came too late", "fault: slow paths"],
};

const OWNER: usize = 0;
const THIRD: usize = 1;
const FRESH: usize = 2;

fn plan() -> Plan {
    let tuning = Tuning { relay_changes: 1, snapshot_chunk_entries: 1, ..Tuning::default() };
    let script = Script::new(3, CLIENTS, Settings { tuning, ..Settings::default() });
    (0..CLIENTS)
        .fold(script, |script, client| {
            script.at(4_000 + client as u64 / 2, Step::Connect { client, node: OWNER })
        })
        .rounds(ROUNDS, |script, round| {
            let begin = 8_000 + round * 20_000;
            // What the third node misses.
            let missed = (0..8).fold(script, |script, change| {
                let (client, at) = ((8 * round as usize + change) % CLIENTS, begin + 300 + 5 * change as u64);
                script
                    .at(at, Step::Leave { client, politely: true })
                    .at(at + 100, Step::Connect { client, node: OWNER })
            });
            let joined = begin + 8_000 + 250 * round;
            let moved = (20 * round as usize + 1) % CLIENTS;
            missed
                .at(begin, Step::Crash { node: FRESH })
                .at(begin + 200, Step::Partition(between(&[OWNER], &[THIRD, FRESH])))
                .at(begin + 3_000, Step::Restart { node: FRESH, identity: Identity::Same })
                // Later the link would not come up.
                .at(begin + 6_000, Step::Slow(vec![(THIRD, FRESH)], SLOW))
                .at(joined, Step::Join)
                .at(joined, Step::Partition(between(&[OWNER], &[THIRD])))
                // A delta that follows the owner's own full state.
                .at(joined + 1_000, Step::Leave { client: moved, politely: true })
                .at(joined + 3_000, Step::Connect { client: moved, node: OWNER })
                .at(joined + 5_000, Step::Join)
                .at(joined + 5_000, Step::Hurry)
        })
        .plan()
}

/// So many entries, one by one, do not fit the first flight of a QUIC connection.
const CLIENTS: usize = 400;
/// The owner's way is opened at another moment in each, because nobody knows when the answer leaves.
const ROUNDS: u64 = 8;
/// Below what makes a link suspect and a comparison of digests give up. Source: 3 s and 2 s.
const SLOW: Duration = Duration::from_millis(1_700);
