//! The side of the links that dials: in the background, one at a time for each address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use crate::id::NodeName;
use crate::limits;
use crate::mesh::dials::JITTER;
use crate::mesh::endpoint::{self, CloseCode, DialError};
use crate::mesh::handshake::{self, HandshakeError};
use crate::mesh::links::{Links, NOT_POISONED};
use crate::mesh::meeting::{self, Hearing};
use crate::mesh::refusal::Refusal;
use crate::metrics::label::Task;

impl Links {
    /// Dials `addr` in the background, unless that is going on or failed a moment ago.
    pub(crate) fn dial(self: &Arc<Self>, addr: SocketAddr, expected: Option<NodeName>) {
        let own = addr == self.advertise && expected.is_none(); // A seed, or gossip about this node.
        if own || self.started.get().is_none() {
            return;
        }
        if !self.dials.lock().expect(NOT_POISONED).begin(addr, self.began.elapsed()) {
            return;
        }
        let links = Arc::clone(self);
        self.spawn(async move {
            if links.vitals.contained(Task::Dial, links.dial_now(addr, expected)).await.is_err() {
                links.dialled(addr, None, Duration::ZERO); // Or it would never be dialled again.
            }
        });
    }

    async fn dial_now(self: &Arc<Self>, addr: SocketAddr, expected: Option<NodeName>) {
        // Another node may have taken over the address of one that is gone.
        let occupant = self.occupant(addr, expected.as_ref());
        let mut again = Duration::ZERO;
        let reached = match &occupant {
            Some(occupant) => Some(occupant.clone()),
            None => match self.dial_once(addr).await {
                Ok(name) => Some(name),
                Err(failed) => {
                    again = failed.again;
                    None
                }
            },
        };
        self.dialled(addr, reached.clone(), again);
        let missed = reached.is_none() || expected.is_some() && reached != expected;
        if missed && occupant.is_none() {
            self.metrics.mesh_dials_failed.increment(1);
        }
        self.members().dial_ended(addr, expected.as_ref(), reached.as_ref());
    }

    /// Who has the address at which `expected` is looked for: this node, or a peer that is linked.
    fn occupant(&self, addr: SocketAddr, expected: Option<&NodeName>) -> Option<NodeName> {
        let expected = expected?;
        let (there, silence) = match addr == self.advertise {
            true => (self.me.clone(), Duration::ZERO),
            false => {
                let link = self.linked_at(addr)?;
                (link.peer().name.clone(), link.heard().elapsed())
            }
        };
        meeting::occupies(&there, silence, expected).then_some(there)
    }

    async fn dial_once(self: &Arc<Self>, addr: SocketAddr) -> Result<NodeName, NotLinked> {
        let dialled = endpoint::dial(&self.endpoint, &self.identity, addr).await;
        let (connection, name) = dialled.map_err(|error| {
            debug!(%addr, %error, "nobody of this cluster was reached");
            // Somebody was, who is not of this cluster, or who says that this node is not of theirs.
            if let DialError::Connection(error) = &error {
                let refusal = Refusal::of_connection(error);
                let told = matches!(refusal, Some(Refusal::Identity | Refusal::Version));
                self.refused(refusal.filter(|_| told), addr, error);
            }
            NotLinked { again: Duration::ZERO }
        })?;
        // It would only have to be resolved against the first one, unless that is to be replaced.
        let held = self.get(&name).filter(|link| self.identity.trusts(link.connection()));
        if meeting::is_duplicate(held.map(|link| link.heard().elapsed())) {
            CloseCode::Duplicate.close(&connection);
            return Ok(name);
        }
        let greeted = async {
            if self.shared.offenders.barred(&name, Instant::now()) {
                return Err(HandshakeError::Barred);
            }
            let (hello, version) = handshake::greet(&connection, &name, &self.hello()).await?;
            let known = self.members().superseding(&name, hello.incarnation);
            match meeting::is_welcomed(&self.me, &name, known) {
                Hearing::Link => Ok((hello, version)),
                Hearing::Over { known } => Err(HandshakeError::PeerIsStale { known }),
                Hearing::Myself { .. } => Err(HandshakeError::Myself),
            }
        };
        match greeted.await {
            Ok((hello, version)) => {
                self.establish(connection, version, hello, true);
                Ok(name)
            }
            Err(error) => {
                if let HandshakeError::Stale { known } = error {
                    self.members().superseded(known);
                }
                debug!(%addr, peer = %name, %error, "a dialled peer was not linked");
                CloseCode::Ended.close(&connection);
                let disagreed = error.is_disagreement();
                if disagreed {
                    self.disagreed(&name, addr, &error);
                }
                let again = if disagreed { limits::DISAGREED_RETRY } else { Duration::ZERO };
                Err(NotLinked { again })
            }
        }
    }

    /// Notes how a dial ended. It is not repeated before `again` is over.
    fn dialled(&self, addr: SocketAddr, name: Option<NodeName>, again: Duration) {
        let share = self.entropy.between(JITTER.0, JITTER.1);
        let mut dials = self.dials.lock().expect(NOT_POISONED);
        dials.ended(addr, name, again, share, self.began.elapsed());
    }
}

/// Why a dialled peer was not linked has been told; this is what follows.
struct NotLinked {
    /// The address is not dialled before this is over.
    again: Duration,
}
