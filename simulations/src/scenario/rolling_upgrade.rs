//! While a cluster is being upgraded, its new half believes that the old half knows what is new.
//!
//! Here clients that want to be kept go from nodes of one version to those of the other while the older ones are replaced, in good order and
//! by a kill. Nothing is kept before the last of them is gone. Then their owner loses its power, and what it has accepted is with others.

use crate::plan::{Plan, Step};
use crate::scenario::keeping::{copied, crashes, pushes, restarts, stored};
use crate::scenario::script::{Scenario, Script, connect_all};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "rolling-upgrade",
    story: "members of an older version were taken for replicas in a rolling upgrade",
    plan,
    meets: &[
        "fault: crash",
        "fault: stop in good order",
        "settings: two versions",
        "node: session taken over",
        "kept: a message comes whose owner has crashed, from who held it",
        "kept: welcomed as complete",
    ],
};

/// Every boot of the run with an even number is of the older version, so that the second of two in a row is not.
fn plan() -> Plan {
    let settings = Settings { mixed_versions: true, ..copied(60) };
    let script = connect_all(Script::new(NODES, CLIENTS, settings).latency(5));
    let script = wander(script, 8_000);
    let script = twice(script, 20_000, ONE_OLD);
    let script = wander(script, 20_500);
    let script = crashes(script, 35_000, OTHER_OLD, 37_000);
    let script = wander(script, 34_000);
    let script = crashes(script, 45_000, OWNER, 50_000);
    let script = wander(script, 44_500);
    let script = twice(script, 55_000, OTHER_OLD);
    let script = (0..CLIENTS).fold(script, |script, client| {
        let later = 20 * client as u64;
        let script = script.at(75_000 + later, Step::Connect { client, node: OWNER });
        let script = script.at(77_000 + later, Step::Leave { client, politely: false });
        let script = stored(script, 78_000 + later, ONE_OLD, client, 3);
        let to = [ONE_OLD, OTHER_OLD, LAST][client % 3];
        script.at(80_000 + [50, 1_000, 9_000][client / 3 % 3] + later, Step::Connect { client, node: to })
    });
    script.at(80_000, Step::Crash { node: OWNER }).plan()
}

/// Each client goes to a node of the other version and back, and is pushed to meanwhile.
fn wander(script: Script, from_ms: u64) -> Script {
    (0..CLIENTS).fold(script, |script, client| {
        let begin = from_ms + 100 * client as u64;
        script.rounds(4, |script, step| {
            let (at, node) = (begin + 700 * step, (client + step as usize) % NODES);
            let script = script.at(at, Step::Connect { client, node });
            pushes(script, at + 3, (node + 1) % NODES, client, 3)
        })
    })
}

/// A node stops in good order twice, so that the boot that stays is of the newer version.
fn twice(script: Script, at_ms: u64, node: usize) -> Script {
    let script = restarts(script, at_ms, node, at_ms + 1_500);
    restarts(script, at_ms + 5_000, node, at_ms + 6_500)
}

const NODES: usize = 4;
/// The nodes whose first boots are of the older version.
const ONE_OLD: usize = 0;
const OTHER_OLD: usize = 2;
/// The node that is killed once all are of the newer one.
const OWNER: usize = 1;
const LAST: usize = 3;
const CLIENTS: usize = 9;
