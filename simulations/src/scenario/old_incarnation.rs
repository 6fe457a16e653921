//! phoenix_pubsub#55: a node restarted, and its former self came back by way of another node that had
//! slept through the restart and still told of it.
//!
//! Here a boot has an incarnation, the greatest one that was seen stands, and a fence keeps it when its
//! name is gone. One node holds still while another restarts. What it asked and told meanwhile arrives
//! when a third knows the new boot by name alone, and so could use an old copy.

use std::time::Duration;

use pushmesh::config::Tuning;

use crate::plan::{Identity, Plan, Step};
use crate::scenario::script::{Scenario, Script, between};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "old-incarnation",
    story: "a former self came back through a node that had slept (phoenix_pubsub#55)",
    plan,
    meets: &[
        "fault: a node holds still",
        "checked: signs of boots that are over, ignored",
        "node: digest of an older boot refused",
    ],
};

const WITNESS: usize = 0;
const OTHER: usize = 1;
const SLEEPER: usize = 2;
const RESTARTED: usize = 3;

fn plan() -> Plan {
    let tuning = Tuning { purge_after: Duration::from_secs(8), ..Tuning::default() };
    let script = Script::new(4, CLIENTS, Settings { tuning, ..Settings::default() });
    let naps = (0..CLIENTS)
        .fold(script, |script, client| {
            script.at(4_000 + 10 * client as u64, Step::Connect { client, node: RESTARTED })
        })
        .rounds(NAPS, |script, round| {
            let begin = 8_000 + round * NAP_MS;
            let script = (0..CLIENTS).fold(script, |script, client| {
                script.at(begin - 1_000 + client as u64, Step::Connect { client, node: RESTARTED })
            });
            let asleep = begin + 1_800 + 100 * round;
            script
                .at(begin, Step::Crash { node: RESTARTED })
                .at(begin, Step::Partition(between(&[WITNESS], &[RESTARTED])))
                .at(begin + 1_500, Step::Restart { node: RESTARTED, identity: Identity::Same })
                .at(asleep, Step::Pause { node: SLEEPER })
                // A connection of QUIC does not live longer.
                .at(asleep + 4_700, Step::Resume { node: SLEEPER })
                .at(asleep + 8_000, Step::Join)
        });
    let begin = 8_000 + NAPS * NAP_MS;
    // Both boots are over when it wakes, and nobody lists the name any more.
    naps.at(begin, Step::Pause { node: SLEEPER })
        .at(begin + 500, Step::Crash { node: RESTARTED })
        .at(begin + 2_500, Step::Restart { node: RESTARTED, identity: Identity::Same })
        .at(begin + 7_000, Step::Crash { node: RESTARTED })
        .at(begin + 24_000, Step::Resume { node: SLEEPER })
        .at(begin + 30_000, Step::Restart { node: RESTARTED, identity: Identity::Same })
        .at(begin + 34_000, Step::Connect { client: 0, node: OTHER })
        .plan()
}

const CLIENTS: usize = 6;
const NAPS: u64 = 5;
/// From one to the next, in milliseconds.
const NAP_MS: u64 = 16_000;
