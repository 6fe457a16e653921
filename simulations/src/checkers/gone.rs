//! What is gone stays gone: once a client's last connection is over and no node holds a row of it, none
//! holds one again before the client comes back, or a node keeps its session on whose owner is gone.
//!
//! A node that is behind in an owner's section may still pass the position at which the claim was there:
//! it had not dropped the claim, it had not heard of it. So a row counts only in a copy that is as new as
//! the owner's section was when the claim was gone everywhere. Hidden rows count as rows: a node that
//! comes back from being dead shows its sessions again, and those that it released meanwhile for a moment
//! as well.

use std::collections::BTreeMap;

use pushmesh::NodeName;
use pushmesh::internals::{Known, Position, Standing};

use crate::checkers::checker::Checker;
use crate::decision::Decision;
use crate::event::Event;
use crate::host::{Boot, session_key, user_id};
use crate::id::{ClientIndex, ConnectionId, user_of};

/// Watches clients that are away.
#[derive(Default)]
pub(super) struct Gone {
    connections: BTreeMap<ConnectionId, ClientIndex>,
    clients: BTreeMap<ClientIndex, Client>,
    compared: u64,
}

#[derive(Default)]
struct Client {
    /// Connections that are open or being made.
    connections: usize,
    /// When the last one ended.
    since_ms: u64,
    /// Where the sections stood when nobody held a row any more.
    gone: Option<BTreeMap<NodeName, Position>>,
}

impl Checker for Gone {
    fn name(&self) -> &'static str {
        "a claim that is gone stays gone"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { connection, client, .. } => {
                self.connections.insert(*connection, *client);
                let client = self.clients.entry(*client).or_default();
                client.connections += 1;
                client.gone = None;
            }
            Event::Ended { connection, .. } | Event::Refused { connection, .. } => {
                let client = self.connections.remove(connection);
                if let Some(client) = client.and_then(|client| self.clients.get_mut(&client)) {
                    client.connections -= 1;
                    client.since_ms = now_ms;
                }
            }
            Event::Decided { decision: Decision::KeepsOn { client, .. }, .. } => {
                // The rows of a boot that is over go when the next one is known, and what others hold for its clients may be found later.
                let client = self.clients.entry(*client).or_default();
                (client.gone, client.since_ms) = (None, now_ms);
            }
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Result<(), String> {
        if !now_ms.is_multiple_of(LOOK_EVERY_MS) {
            return Ok(());
        }
        for (index, client) in &mut self.clients {
            if client.connections > 0 || now_ms < client.since_ms + LET_IN_MS {
                continue;
            }
            let Some(gone) = &client.gone else {
                if boots.iter().flatten().all(|boot| rows(boot, *index).is_empty()) {
                    let own = |boot: &Boot| {
                        let me = boot.replica.me();
                        Some((me.clone(), boot.replica.head(me)?.digest.position))
                    };
                    client.gone = Some(boots.iter().flatten().filter_map(own).collect());
                }
                continue;
            };
            for boot in boots.iter().flatten() {
                self.compared += 1;
                for row in rows(boot, *index) {
                    let owner = &row.holder.owner;
                    let stands = boot.replica.head(owner).map(|head| head.digest.position);
                    back(gone.get(owner).copied(), stands).map_err(|what| {
                        format!(
                            "client {index} is gone, and {} has it at {owner} again: {what}",
                            boot.replica.me()
                        )
                    })?;
                }
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("looks for clients that are gone", self.compared)
    }
}

/// The rows of a client at a node, but for those that wait for being swept or are arriving.
fn rows(boot: &Boot, client: ClientIndex) -> Vec<Known> {
    let hasher = boot.replica.hasher();
    let key = hasher.key(&session_key(client));
    let mut rows = boot.replica.known(hasher.user(&user_id(user_of(client))));
    rows.retain(|row| {
        row.key == key && (row.holder.standing.is_seen() || row.holder.standing == Standing::Hidden)
    });
    rows
}

/// Whether a copy that stands there may hold a row that was gone when its owner stood at `gone`.
fn back(gone: Option<Position>, stands: Option<Position>) -> Result<(), String> {
    match (gone, stands) {
        (Some(gone), Some(stands)) if stands >= gone => {
            Err(format!("the claim was gone at {gone:?}, and the copy stands at {stands:?}"))
        }
        _ => Ok(()),
    }
}

/// Time between two looks, in milliseconds.
const LOOK_EVERY_MS: u64 = 50;
/// How long a node may still let a client in that has given up, in milliseconds. Source: longer than a
/// client waits and a takeover, behind the longest time for which a plan lets a node hold still.
const LET_IN_MS: u64 = 16_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::End;

    #[test]
    fn a_row_in_a_copy_that_is_as_new_is_found() {
        let at = |version| Some(Position { version, ..Position::default() });
        assert_eq!(back(at(5), at(4)), Ok(()), "it has not heard of the end");
        assert!(back(at(5), at(5)).is_err());
        assert_eq!(back(at(5), None), Ok(()), "a copy that is known to be wrong");
        assert_eq!(back(None, at(5)), Ok(()), "its owner did not run");
    }

    #[test]
    fn the_session_of_a_client_that_is_away_may_be_claimed_anew_when_its_owner_is_gone() {
        let (mut gone, owner) = (Gone::default(), NodeName::new("n2").unwrap());
        let dialled = Event::Dialled { connection: 1, client: 3, node: 1, resumed: None };
        gone.event(0, &dialled).unwrap();
        gone.event(5, &Event::Ended { connection: 1, end: End::Dropped }).unwrap();
        let after = LET_IN_MS + LOOK_EVERY_MS;
        gone.tick(after, &[]).unwrap();
        let is_gone = |gone: &Gone| gone.clients[&3].gone.is_some();
        assert!(is_gone(&gone), "nobody holds a row");
        let decision = Decision::KeepsOn { client: 3, stamp: 7, owner: owner.clone() };
        gone.event(after, &Event::Decided { by: owner, decision }).unwrap();
        assert!(!is_gone(&gone));
        gone.tick(2 * after, &[]).unwrap();
        assert!(is_gone(&gone), "from then on it is watched again");
    }
}
