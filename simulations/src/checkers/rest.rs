//! When all agree and nothing happens, a node holds its clients' connections and a link to each other
//! node, and nothing that waits. What is held for ever by mistake shows only here.

use pushmesh::internals::Inside;

use crate::event::Connected;
use crate::host::Boot;

/// Whether the nodes that run hold nothing but these connections.
///
/// # Errors
/// What somebody holds.
pub(crate) fn at_rest(boots: &[Option<Boot>], connected: &Connected) -> Result<(), String> {
    let peers = boots.iter().flatten().count() - 1;
    for (node, boot) in boots.iter().enumerate() {
        let Some(inside) = boot.as_ref().and_then(|boot| boot.observer.inside()) else { continue };
        let here = connected.values().flat_map(|open| open.values()).filter(|at| **at == node).count();
        nothing_else(&inside, here, peers).map_err(|what| format!("node {node} holds {what}: {inside:?}"))?;
    }
    Ok(())
}

fn nothing_else(inside: &Inside, clients: usize, peers: usize) -> Result<(), String> {
    let held = [
        ("connections", inside.connections, clients),
        ("claims", inside.claims as usize, clients),
        ("links", inside.links, peers),
        ("requests to peers that wait", inside.pending, 0),
        ("messages that wait for a client", inside.outbox, 0),
        ("bytes that a client has not acknowledged", inside.kept_bytes, 0),
    ];
    match held.into_iter().find(|(_, held, right)| held != right) {
        Some((what, held, right)) => Err(format!("{held} {what} instead of {right}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_for_nothing_is_found() {
        let rest = Inside { connections: 2, claims: 2, links: 3, ..Inside::default() };
        assert_eq!(nothing_else(&rest, 2, 3), Ok(()));
        for wrong in [
            Inside { connections: 3, ..rest.clone() },
            Inside { claims: 1, ..rest.clone() },
            Inside { links: 2, ..rest.clone() },
            Inside { pending: 1, ..rest.clone() },
            Inside { outbox: 1, ..rest.clone() },
            Inside { kept_bytes: 1, ..rest.clone() },
        ] {
            assert!(nothing_else(&wrong, 2, 3).is_err(), "{wrong:?}");
        }
    }
}
