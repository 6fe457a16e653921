//! A client that neither reads nor answers for longer than the heartbeat's timeout is given up by its
//! node, and so is its claim. One whose socket takes bytes, however slowly, is alive, and while frames wait for a socket
//! nothing is read from it: what the client said before is heard later.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::internals::ClaimState;
use pushmesh::limits;

use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::host::{Boot, session_key};
use crate::id::{ClientIndex, ConnectionId, NodeIndex, node_name};
use crate::plan::LATENCY_MS_MAX;
use crate::settings::Settings;
use crate::world::LATE_ARRIVAL_MS_MAX;

/// Watches the claims of silent clients.
pub(super) struct Silence {
    bound_ms: u64,
    /// Those that are open or being made.
    open: BTreeMap<ConnectionId, (ClientIndex, NodeIndex)>,
    /// Until when something may be heard of a socket that has taken a part.
    heard_until_ms: BTreeMap<ConnectionId, u64>,
    /// Those that have just fallen silent.
    fresh: Vec<ConnectionId>,
    silent: BTreeMap<ConnectionId, Claim>,
    /// When their claims have to be gone.
    due: BTreeSet<(u64, ConnectionId)>,
    compared: u64,
}

struct Claim {
    client: ClientIndex,
    node: NodeIndex,
    incarnation: u64,
    stamp: u64,
}

impl Silence {
    /// Nobody is silent.
    pub(super) fn new(settings: &Settings) -> Self {
        let timeout_ms = settings.heartbeat_timeout.as_millis() as u64;
        let close_ms = limits::CLOSE_TIMEOUT.as_millis() as u64;
        // Its last frame may still be on its way, a socket that takes no close has its time, and it may be
        // superseded meanwhile: then its claim lingers.
        let linger_ms = limits::RELEASE_LINGER.as_millis() as u64;
        let bound_ms = timeout_ms + LATENCY_MS_MAX + LATE_ARRIVAL_MS_MAX + close_ms + linger_ms + TICKS_MS;
        let (open, heard_until_ms, fresh, silent, due) = Default::default();
        Self { bound_ms, open, heard_until_ms, fresh, silent, due, compared: 0 }
    }

    /// A socket has taken a part of a frame, and takes nothing more for a while.
    fn took(&mut self, now_ms: u64, connection: ConnectionId, for_ms: u64) {
        // A node looks once in that time at what is taken.
        let looks_ms = limits::BUFFERED_AFTER.as_millis() as u64;
        let until_ms = now_ms + for_ms.max(looks_ms);
        self.heard_until_ms.insert(connection, until_ms);
        if self.silent.contains_key(&connection) {
            self.due.retain(|(_, silent)| *silent != connection);
            self.due.insert((until_ms + self.bound_ms, connection));
        }
    }
}

impl Checker for Silence {
    fn name(&self) -> &'static str {
        "a client that is silent for too long is given up"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { connection, client, node, .. } => {
                self.open.insert(*connection, (*client, *node));
            }
            Event::Stalled { connection, for_ms } if *for_ms > self.bound_ms => self.fresh.push(*connection),
            Event::Full { connection, for_ms } => self.took(now_ms, *connection, *for_ms),
            Event::Resumed { connection } => _ = self.silent.remove(connection),
            Event::Ended { connection, .. } | Event::Refused { connection, .. } => {
                self.open.remove(connection);
                self.heard_until_ms.remove(connection);
                self.silent.remove(connection);
            }
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Result<(), String> {
        let claim = |client, node: NodeIndex| {
            let boot = boots.get(node)?.as_ref()?;
            let owned = boot.replica.lookup_named(&session_key(client))?;
            let (incarnation, stamp) = (boot.incarnation, owned.stamp.raw());
            let own = owned.owner == *boot.replica.me();
            // It is given up, and its session is kept, or goes on at another node.
            let given_up = matches!(owned.state, ClaimState::Parked | ClaimState::Yielded);
            (own && !given_up).then_some(Claim { client, node, incarnation, stamp })
        };
        for connection in std::mem::take(&mut self.fresh) {
            let Some((client, node)) = self.open.get(&connection).copied() else { continue };
            // The claim may be of a connection after it.
            let is_last = self.open.range(connection + 1..).all(|(_, (newer, _))| *newer != client);
            if let Some(held) = claim(client, node).filter(|_| is_last) {
                self.silent.insert(connection, held);
                let heard_ms = self.heard_until_ms.get(&connection).copied().unwrap_or_default();
                self.due.insert((now_ms.max(heard_ms) + self.bound_ms, connection));
            }
        }
        while let Some((_, connection)) = self.due.first().copied().filter(|(at, _)| *at <= now_ms) {
            self.due.pop_first();
            let Some(held) = self.silent.remove(&connection) else { continue };
            self.compared += 1;
            let now = claim(held.client, held.node);
            if now.is_some_and(|now| (now.incarnation, now.stamp) == (held.incarnation, held.stamp)) {
                return Err(format!(
                    "client {} was silent for {} ms, and {} has it still",
                    held.client,
                    self.bound_ms,
                    node_name(held.node)
                ));
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("clients silent for too long", self.compared)
    }
}

/// For tasks to run: some ticks.
const TICKS_MS: u64 = 10;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pushmesh::NodeName;
    use pushmesh::config::{Takeover, Tuning};
    use pushmesh::id::Incarnation;
    use pushmesh::internals::{KeyHasher, Observer, Replica};
    use tokio::sync::mpsc;

    use super::*;

    /// The node n1, with the claim of client 0.
    fn node() -> (Boot, u64) {
        let name = NodeName::new(node_name(0)).unwrap();
        let replica = Replica::new(
            name,
            Incarnation(1),
            KeyHasher::new(&[0; 32]),
            Takeover::default(),
            Tuning::default(),
        );
        let key = replica.hasher().key(&session_key(0));
        let claimed = replica.claim(key, 5, None, None, None, |_| {}).unwrap();
        let (commands, _) = mpsc::channel(1);
        let (replica, observer) = (Arc::new(replica), Observer::default());
        (Boot { incarnation: 1, replica, observer, commands }, claimed.stamp.raw())
    }

    fn seen(for_ms: u64, ends: bool) -> Result<(), String> {
        let (boot, stamp) = node();
        let mut checker = Silence::new(&Settings::default());
        checker.event(0, &Event::Dialled { connection: 7, client: 0, node: 0, resumed: None })?;
        checker.event(0, &Event::Stalled { connection: 7, for_ms })?;
        checker.tick(1, &[Some(boot.clone())])?;
        if ends {
            let key = boot.replica.hasher().key(&session_key(0));
            boot.replica.release(key, pushmesh::id::Stamp::from_raw(stamp));
        }
        checker.tick(1 + checker.bound_ms, &[Some(boot)])
    }

    #[test]
    fn a_claim_that_outlives_the_silence_of_its_client_is_found() {
        assert!(seen(u64::MAX, false).unwrap_err().contains("n1 has it still"));
        assert_eq!(seen(u64::MAX, true), Ok(()));
        assert_eq!(seen(1_000, false), Ok(()), "it went on in time");
    }

    #[test]
    fn a_client_whose_socket_takes_a_part_is_given_up_later() {
        let bound_ms = Silence::new(&Settings::default()).bound_ms;
        let stalled = (0, Event::Stalled { connection: 7, for_ms: u64::MAX });
        let full = |at_ms, for_ms| (at_ms, Event::Full { connection: 7, for_ms });
        let looks_ms = limits::BUFFERED_AFTER.as_millis() as u64;
        for (events, due_ms) in [
            (vec![stalled.clone(), full(500, 9)], 500 + looks_ms + bound_ms),
            (vec![full(0, 4_000), stalled], 4_000 + bound_ms),
        ] {
            let (boot, _) = node();
            let mut checker = Silence::new(&Settings::default());
            checker.event(0, &Event::Dialled { connection: 7, client: 0, node: 0, resumed: None }).unwrap();
            for (at_ms, event) in events {
                checker.event(at_ms, &event).unwrap();
                checker.tick(at_ms, &[Some(boot.clone())]).unwrap();
            }
            assert_eq!(checker.tick(due_ms - 1, &[Some(boot.clone())]), Ok(()));
            assert!(checker.tick(due_ms, &[Some(boot)]).is_err());
        }
    }
}
