//! What the scenarios of kept sessions have in common.

use pushmesh::Wait;

use crate::aim::Aim;
use crate::ask::{Ask, Terms};
use crate::id::{ClientIndex, NodeIndex};
use crate::plan::{Identity, Step};
use crate::scenario::script::Script;
use crate::settings::{Keeping, Settings};

/// All clients have their sessions kept for so many seconds, and on that part of their connections do what goes wrong.
pub(super) fn kept(seconds: u32, careless: f64) -> Settings {
    Settings {
        keeping: Some(Keeping { seconds, careless, everybody: true, copies: 0 }),
        ..Settings::default()
    }
}

/// So many pushes to a client by way of a node, one in each millisecond.
pub(super) fn pushes(
    script: Script,
    from_ms: u64,
    node: NodeIndex,
    client: ClientIndex,
    pushes: u64,
) -> Script {
    each_ms(script, from_ms, pushes, |_| Step::Push { node, aim: Aim::Client(client) })
}

/// A node stops in good order, and is started again as the same one.
pub(super) fn restarts(script: Script, stops_ms: u64, node: NodeIndex, starts_ms: u64) -> Script {
    starts(script.at(stops_ms, Step::Stop { node }), starts_ms, node)
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

/// The same with copies at two other nodes, and nobody who does what goes wrong.
pub(super) fn copied(seconds: u32) -> Settings {
    let mut settings = kept(seconds, 0.0);
    settings.keeping.iter_mut().for_each(|keeping| keeping.copies = 2);
    settings
}

/// So many pushes to a client by way of a node, one in each millisecond, each of which waits until it is stored.
pub(super) fn stored(
    script: Script,
    from_ms: u64,
    node: NodeIndex,
    client: ClientIndex,
    pushes: u64,
) -> Script {
    let terms = Terms { ttl_s: None, wait: Wait::Stored };
    let ask = || Ask::Push(Aim::Client(client), terms);
    each_ms(script, from_ms, pushes, |push| Step::Call { backend: push as usize, node, ask: ask() })
}

fn each_ms(script: Script, from_ms: u64, steps: u64, step: impl Fn(u64) -> Step) -> Script {
    script.rounds(steps, |script, number| script.at(from_ms + number, step(number)))
}

/// A node loses its power, and is started again as the same one.
pub(super) fn crashes(script: Script, at_ms: u64, node: NodeIndex, starts_ms: u64) -> Script {
    starts(script.at(at_ms, Step::Crash { node }), starts_ms, node)
}

fn starts(script: Script, at_ms: u64, node: NodeIndex) -> Script {
    script.at(at_ms, Step::Restart { node, identity: Identity::Same })
}
