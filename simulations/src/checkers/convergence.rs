//! What must become true when the faults are over: all nodes agree, and with the clients.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::NodeName;

use crate::event::{ClientIndex, ConnectionId, NodeIndex, node_name, user_of};
use crate::host::{Boot, session_key};
use crate::settings::sessions_max;

/// The connections that are open, with their nodes, by client.
pub(crate) type Connected = BTreeMap<ClientIndex, BTreeMap<ConnectionId, NodeIndex>>;

/// Whether all nodes run and hold the same directory, and it says what is: one connection for each
/// client that is connected, at its node and of its node's present boot, and nothing else. So every claim
/// has a live socket. No user has more sessions than the policy lets live. Who runs is alive to all, and who was replaced is dead.
///
/// # Errors
/// What is not so yet.
pub(crate) fn converged(boots: &[Option<Boot>], connected: &Connected) -> Result<(), String> {
    // What is left of a node that was replaced is not compared: it is hidden, and purged in time.
    let members: BTreeSet<NodeName> = boots.iter().flatten().map(|boot| boot.replica.me().clone()).collect();
    let mut heads = Vec::new();
    for (node, boot) in boots.iter().enumerate() {
        let boot = boot.as_ref().ok_or_else(|| format!("{} does not run", node_name(node)))?;
        let held = boot.replica.heads().into_iter().filter(|(owner, _)| members.contains(owner));
        heads.push(held.collect::<BTreeMap<_, _>>());
        if heads[node].len() != boots.len() {
            return Err(format!(
                "{} holds {} of {} sections",
                node_name(node),
                heads[node].len(),
                boots.len()
            ));
        }
        if heads[node] != heads[0] {
            let (one, other) = (node_name(node), node_name(0));
            return Err(format!("{one} holds {:?}, {other} holds {:?}", heads[node], heads[0]));
        }
    }
    for boot in boots.iter().flatten() {
        // A network that heals brings heartbeats of a node that was replaced to those who had not heard
        // them, and who take it for a while for one that may live.
        let listed = boot.observer.inside().map(|inside| inside.members).unwrap_or_default();
        let wrong = |name, state| if members.contains(name) { state != "alive" } else { state != "dead" };
        if let Some((name, (_, state))) = listed.iter().find(|(name, (_, state))| wrong(*name, *state)) {
            return Err(format!("{} still lists {name} as {state}", boot.replica.me()));
        }
    }
    for (client, connections) in connected {
        let [(_, at)] = connections.iter().collect::<Vec<_>>()[..] else {
            return Err(format!("client {client} has {} connections", connections.len()));
        };
        let key = session_key(*client);
        for boot in boots.iter().flatten() {
            let owner = boot.replica.lookup_named(&key).map(|owned| (owned.owner, owned.incarnation.0));
            let holder = boots.get(*at).and_then(Option::as_ref);
            if owner != holder.map(|boot| (boot.replica.me().clone(), boot.incarnation)) {
                let (who, at) = (boot.replica.me(), node_name(*at));
                return Err(format!(
                    "client {client} is connected to {at}, and {who} looks for it at {owner:?}"
                ));
            }
        }
    }
    for boot in boots.iter().flatten() {
        let sessions = boot.replica.counts().sessions;
        if sessions != connected.len() as u64 {
            let (who, clients) = (boot.replica.me(), connected.len());
            let page = boot.replica.page(None, usize::MAX);
            let page = page.into_iter().map(|(key, owned)| (key, owned.owner));
            let known: Vec<_> =
                connected.keys().map(|client| boot.replica.hasher().key(&session_key(*client))).collect();
            let ghosts: Vec<_> = page.filter(|(key, _)| !known.contains(key)).collect();
            return Err(format!(
                "{who} knows {sessions} sessions, and {clients} clients are connected; too many: {ghosts:?}"
            ));
        }
        let most = sessions_max(boot.replica.takeover()).unwrap_or(usize::MAX);
        within(most, connected)?;
    }
    Ok(())
}

/// Whether each user has at most so many sessions.
fn within(most: usize, connected: &Connected) -> Result<(), String> {
    let mut sessions = BTreeMap::new();
    for client in connected.keys() {
        let sessions: &mut usize = sessions.entry(user_of(*client)).or_default();
        *sessions += 1;
        if *sessions > most {
            return Err(format!("user {} has {sessions} sessions of {most}", user_of(*client)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_with_too_many_sessions_is_found() {
        let connected: Connected = [0, 1, 2].map(|client| (client, BTreeMap::from([(0, 0)]))).into();
        assert_eq!(user_of(0), user_of(1));
        assert_eq!(within(2, &connected), Ok(()));
        assert!(within(1, &connected).is_err());
    }
}
