//! What the scenarios of kept sessions have in common.

use crate::aim::Aim;
use crate::id::{ClientIndex, NodeIndex};
use crate::plan::Step;
use crate::scenario::script::Script;
use crate::settings::{Keeping, Settings};

/// All clients have their sessions kept for so many seconds, and on that part of their connections do what goes wrong.
pub(super) fn kept(seconds: u32, careless: f64) -> Settings {
    Settings { keeping: Some(Keeping { seconds, careless, everybody: true }), ..Settings::default() }
}

/// So many pushes to a client by way of a node, one in each millisecond.
pub(super) fn pushes(
    script: Script,
    from_ms: u64,
    node: NodeIndex,
    client: ClientIndex,
    pushes: u64,
) -> Script {
    script.rounds(pushes, |script, push| {
        script.at(from_ms + push, Step::Push { node, aim: Aim::Client(client) })
    })
}

/// A client is away from then on, and back at a node after a while.
pub(super) fn away(
    script: Script,
    from_ms: u64,
    client: ClientIndex,
    until_ms: u64,
    node: NodeIndex,
) -> Script {
    script.at(from_ms, Step::Leave { client, politely: false }).at(until_ms, Step::Connect { client, node })
}
