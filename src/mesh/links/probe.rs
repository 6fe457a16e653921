//! Before a node starts: which incarnation of its name do others know?

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::id::Incarnation;
use crate::limits;
use crate::mesh::endpoint::{self, CloseCode};
use crate::mesh::frame::ProbeAnswer;
use crate::mesh::handshake;
use crate::mesh::links::Links;

impl Links {
    /// Asks the nodes at these addresses which incarnation of this node's name they know, and then those
    /// whom they know: after a mass restart it may be none of the first that remembers. Gives the highest.
    /// Bounded by [`limits::INCARNATION_PROBE`].
    pub(crate) async fn probe(self: &Arc<Self>, addrs: Vec<SocketAddr>) -> Option<Incarnation> {
        let (answered, mut answers) = mpsc::channel(limits::PEERS_MAX);
        let (mut asked, mut open) = (BTreeSet::new(), 0);
        let (mut next, mut highest) = (addrs, None);
        let deadline = sleep(limits::INCARNATION_PROBE);
        tokio::pin!(deadline);
        loop {
            for addr in next.drain(..) {
                if asked.len() < limits::PEERS_MAX && asked.insert(addr) {
                    open += 1;
                    let (links, answered) = (Arc::clone(self), answered.clone());
                    self.tasks.spawn(async move {
                        let _ = answered.send(links.probe_one(addr).await).await; // Too late to matter.
                    });
                }
            }
            if open == 0 {
                return highest;
            }
            tokio::select! {
                Some(answer) = answers.recv() => {
                    open -= 1;
                    if let Some(ProbeAnswer { known, members }) = answer {
                        highest = highest.max(known);
                        next = members;
                    }
                }
                () = &mut deadline => return highest,
            }
        }
    }

    /// Also a process of this very name is asked: it may be an older one that still runs.
    async fn probe_one(&self, addr: SocketAddr) -> Option<ProbeAnswer> {
        let (connection, _) = endpoint::dial(&self.endpoint, &self.identity, addr).await.ok()?;
        let answer = handshake::probe(&connection, &self.me).await;
        CloseCode::Probed.close(&connection);
        answer.ok()
    }
}
