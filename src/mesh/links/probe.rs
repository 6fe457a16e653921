//! Before a node starts: which incarnation of its name do others know? Carries [`Probing`] over connections.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::limits;
use crate::mesh::endpoint::{self, CloseCode};
use crate::mesh::frame::ProbeAnswer;
use crate::mesh::handshake;
use crate::mesh::links::Links;
use crate::mesh::probing::Probing;

impl Links {
    /// Asks the nodes at these addresses which incarnation of this node's name they know, and then those
    /// whom they know: after a mass restart it may be none of the first that remembers. Gives what is known by then, bounded by
    /// [`limits::INCARNATION_PROBE`].
    pub(crate) async fn probe(self: &Arc<Self>, addrs: Vec<SocketAddr>) -> Probing {
        let (answered, mut answers) = mpsc::channel(limits::PEERS_MAX);
        let mut probing = Probing::default();
        let mut next = probing.named(addrs);
        let deadline = sleep(limits::INCARNATION_PROBE);
        tokio::pin!(deadline);
        loop {
            for addr in next.drain(..) {
                let (links, answered) = (Arc::clone(self), answered.clone());
                self.spawn(async move {
                    let _ = answered.send((addr, links.probe_one(addr).await)).await; // Too late to matter.
                });
            }
            if probing.is_over() {
                return probing;
            }
            tokio::select! {
                Some((addr, answer)) = answers.recv() => match answer {
                    Some((ProbeAnswer { known, members }, is_namesake)) => {
                        if is_namesake {
                            probing.found_namesake(addr);
                        }
                        next = probing.answered(known, members);
                    }
                    None => probing.unanswered(),
                },
                () = &mut deadline => return probing,
            }
        }
    }

    /// Also a process of this very name is asked: it may be an older one that still runs. Says whether it is another one that
    /// runs already: one that is about to start, as this one itself is, does not know its incarnation yet.
    async fn probe_one(&self, addr: SocketAddr) -> Option<(ProbeAnswer, bool)> {
        let (connection, name) = endpoint::dial(&self.endpoint, &self.identity, addr).await.ok()?;
        let answer = handshake::probe(&connection, &self.me).await;
        CloseCode::Probed.close(&connection);
        let answer = answer.ok()?;
        let is_namesake = name == self.me && answer.known.is_some();
        Some((answer, is_namesake))
    }
}
