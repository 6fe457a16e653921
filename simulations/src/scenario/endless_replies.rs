//! akka.net#1918: of two nodes each knew something that the other did not, and they answered each
//! other's digests for ever.
//!
//! Here nobody answers an answer, and equal digests move nothing. Two nodes are each ahead in the
//! section of a node that is gone for good, so that both have to fetch from each other, and nothing
//! but silence may follow.

use crate::plan::{Identity, Plan, Step};
use crate::scenario::script::{Scenario, Script, between, connect_all};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "endless-replies",
    story: "two nodes replied to each other for ever (akka.net#1918)",
    plan,
    meets: &["node: section pulled from a third node", "fault: replaced by a node of another name"],
};

fn plan() -> Plan {
    connect_all(Script::new(4, 12, Settings::default()))
        .rounds(3, |script, round| {
            let begin = 10_000 + round * 25_000;
            // Of the first two nodes one sees the last changes of the third, the other those of the
            // fourth. Nobody can tell them before both are gone.
            let script = script.at(begin, Step::Partition(between(&[0, 2], &[1, 3])));
            let script = (0..8).fold(script, |script, client| {
                let at = begin + 500 + 20 * client as u64;
                script.at(at, Step::Connect { client, node: 2 + client % 2 })
            });
            script
                .at(begin + 1_500, Step::Crash { node: 2 })
                .at(begin + 1_500, Step::Crash { node: 3 })
                .at(begin + 3_000, Step::Restart { node: 2, identity: Identity::Replaced })
                .at(begin + 3_000, Step::Restart { node: 3, identity: Identity::Replaced })
                .at(begin + 4_000, Step::Join)
        })
        .plan()
}
