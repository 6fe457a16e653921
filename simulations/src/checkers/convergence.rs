//! What must become true when the faults are over: all nodes of the core agree, and with the clients.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::NodeName;
use pushmesh::internals::{Digest, Key, Owned};

use crate::checkers::contents;
use crate::event::Connected;
use crate::host::{Boot, session_key};
use crate::id::{ClientIndex, NodeIndex, node_name, user_of};

/// Whether all nodes of the core run and hold the same directory, and it says what is: one connection for
/// each client that is connected there, at its node and of its node's present boot, and nothing else. So
/// every claim has a live socket. No user has more sessions than the policy lets live. Who is in the core
/// is alive to all of it, and who is not is dead: a node that is cut off, or one that was replaced.
///
/// # Errors
/// What is not so yet.
pub(crate) fn converged(
    core: &BTreeSet<NodeIndex>,
    boots: &[Option<Boot>],
    connected: &Connected,
) -> Result<(), String> {
    let mut views = BTreeMap::new();
    for node in core {
        let boot = boots[*node].as_ref().ok_or_else(|| format!("{} does not run", node_name(*node)))?;
        views.insert(*node, View::of(boot, connected));
        let most = boot.replica.takeover().sessions_max().unwrap_or(usize::MAX);
        within(most, connected)?;
    }
    agree(&views, connected)?;
    // They stand at one position, and say they have one hash. This does not believe either.
    let boots = || boots.iter().flatten();
    boots().try_for_each(|owner| boots().try_for_each(|holder| contents::same(owner, holder)))
}

/// What a node says when it is asked.
#[derive(Debug, Clone)]
struct View {
    name: NodeName,
    incarnation: u64,
    /// Where the sections stand that it holds.
    heads: BTreeMap<NodeName, Digest>,
    /// Whom it lists, and as what.
    members: BTreeMap<NodeName, &'static str>,
    /// Where the clients are that are connected: the node and its boot.
    owners: BTreeMap<ClientIndex, (NodeName, u64)>,
    /// Sessions of anybody else.
    ghosts: Vec<(Key, NodeName)>,
}

impl View {
    fn of(boot: &Boot, connected: &Connected) -> Self {
        let replica = &boot.replica;
        let mut sessions: BTreeMap<_, _> = replica.page(None, usize::MAX).into_iter().collect();
        let owner = |owned: Owned| (owned.owner, owned.incarnation.0);
        let owners = connected.keys().filter_map(|client| {
            let owned = sessions.remove(&replica.hasher().key(&session_key(*client)))?;
            Some((*client, owner(owned)))
        });
        let owners = owners.collect();
        let members = boot.observer.inside().map(|inside| inside.members).unwrap_or_default().into_iter();
        Self {
            name: replica.me().clone(),
            incarnation: boot.incarnation,
            heads: replica.heads().into_iter().collect(),
            members: members.map(|(name, (_, state))| (name, state)).collect(),
            owners,
            ghosts: sessions.into_iter().map(|(key, owned)| (key, owned.owner)).collect(),
        }
    }
}

fn agree(views: &BTreeMap<NodeIndex, View>, connected: &Connected) -> Result<(), String> {
    let members: BTreeSet<_> = views.values().map(|view| &view.name).collect();
    let mut first = None;
    for view in views.values() {
        let name = &view.name;
        // What is left of a node that is gone is not compared: it is hidden, and purged in time.
        let heads: BTreeMap<_, _> = view.heads.iter().filter(|(owner, _)| members.contains(owner)).collect();
        if heads.len() != members.len() {
            return Err(format!("{name} holds {} of {} sections", heads.len(), members.len()));
        }
        let (one, theirs) = first.get_or_insert_with(|| (name, heads.clone()));
        if heads != *theirs {
            return Err(format!("{name} holds {heads:?}, {one} holds {theirs:?}"));
        }
        // A network that heals brings heartbeats of a node that was replaced to those who had not heard
        // them, and who take it for a while for one that may live.
        let wrong = |(member, state): &(&NodeName, &&str)| {
            **state != if members.contains(member) { "alive" } else { "dead" }
        };
        if let Some((member, state)) = view.members.iter().find(wrong) {
            return Err(format!("{name} still lists {member} as {state}"));
        }
        for (client, connections) in connected {
            let [at] = connections.values().collect::<Vec<_>>()[..] else {
                return Err(format!("client {client} has {} connections", connections.len()));
            };
            let (owner, at_name) = (view.owners.get(client), node_name(*at));
            if owner != views.get(at).map(|at| (at.name.clone(), at.incarnation)).as_ref() {
                return Err(format!(
                    "client {client} is connected to {at_name}, and {name} looks for it at {owner:?}"
                ));
            }
        }
        if !view.ghosts.is_empty() {
            return Err(format!("{name} knows sessions of nobody: {:?}", view.ghosts));
        }
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
    use pushmesh::internals::{DeviceHash, UserHash};

    use super::*;

    fn name(node: NodeIndex) -> NodeName {
        NodeName::new(node_name(node)).unwrap()
    }

    /// Two nodes that agree: client 5 is at the second one.
    fn right() -> (BTreeMap<NodeIndex, View>, Connected) {
        let digest = Digest { position: Default::default(), hash: 7 };
        let view = |node| View {
            name: name(node),
            incarnation: 1,
            heads: [(name(0), digest), (name(1), digest)].into(),
            members: [(name(1 - node), "alive"), (name(2), "dead")].into(),
            owners: [(5, (name(1), 1))].into(),
            ghosts: Vec::new(),
        };
        ([(0, view(0)), (1, view(1))].into(), [(5, [(70, 1)].into())].into())
    }

    fn after(change: impl FnOnce(&mut View, &mut Connected)) -> Result<(), String> {
        let (mut views, mut connected) = right();
        change(views.get_mut(&1).unwrap(), &mut connected);
        agree(&views, &connected)
    }

    #[test]
    fn a_cluster_that_is_wrong_in_one_way_is_found() {
        assert_eq!(after(|_, _| {}), Ok(()));
        let key = Key { user: UserHash { high: 1, low: 2 }, device: DeviceHash(3) };
        let wrong = [
            after(|view, _| _ = view.heads.remove(&name(0))),
            after(|view, _| view.heads.get_mut(&name(0)).unwrap().hash = 8),
            after(|view, _| view.heads.get_mut(&name(0)).unwrap().position.version = 8),
            after(|view, _| _ = view.members.insert(name(0), "suspect")),
            after(|view, _| _ = view.members.insert(name(0), "dead")),
            after(|view, _| _ = view.members.insert(name(2), "alive")),
            after(|view, _| view.owners.clear()),
            after(|view, _| _ = view.owners.insert(5, (name(0), 1))),
            after(|view, _| _ = view.owners.insert(5, (name(1), 2))),
            after(|view, _| view.incarnation = 2),
            after(|view, _| view.ghosts.push((key, name(0)))),
            after(|_, connected| _ = connected.insert(6, [(71, 0)].into())),
            after(|_, connected| _ = connected.get_mut(&5).unwrap().insert(71, 1)),
            after(|_, connected| _ = connected.get_mut(&5).unwrap().insert(70, 0)),
        ];
        for (place, wrong) in wrong.iter().enumerate() {
            assert!(wrong.is_err(), "number {place}");
        }
    }

    #[test]
    fn a_node_of_the_core_has_to_run() {
        let (core, connected) = ([0].into(), Connected::new());
        assert_eq!(converged(&core, &[None], &connected), Err("n1 does not run".to_owned()));
        assert_eq!(converged(&BTreeSet::new(), &[None], &connected), Ok(()));
    }

    #[test]
    fn a_user_with_too_many_sessions_is_found() {
        let connected: Connected = [0, 1, 2].map(|client| (client, BTreeMap::from([(0, 0)]))).into();
        assert_eq!(user_of(0), user_of(1));
        assert_eq!(within(2, &connected), Ok(()));
        assert!(within(1, &connected).is_err());
    }
}
