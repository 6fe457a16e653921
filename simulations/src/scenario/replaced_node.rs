//! A node is replaced by one with another name at the same address. What it held is gone, and nobody
//! goes on fetching it, or looking for it, for ever. And the new node, which has the old one's address,
//! finds it dead as the others do: a client that left meanwhile stays nowhere.

use crate::plan::{Identity, Plan, Step};
use crate::scenario::script::{Scenario, Script, connect_all};
use crate::settings::Settings;

/// Its place in the list.
pub(super) const SCENARIO: Scenario = Scenario {
    name: "replaced-node",
    story: "a replaced node caused transfers without end (phoenix_pubsub#135)",
    plan,
    meets: &["fault: replaced by a node of another name", "node: remembers one whose place another one has"],
};

fn plan() -> Plan {
    connect_all(Script::new(3, 6, Settings::default()))
        .at(8_000, Step::Crash { node: 2 })
        .at(9_000, Step::Leave { client: 5, politely: false })
        .at(20_000, Step::Restart { node: 2, identity: Identity::Replaced })
        .at(30_000, Step::Connect { client: 0, node: 2 })
        .plan()
}
