//! The side of the links that others dial: which handshakes begin, and what becomes of them.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use quinn::{Connection, Incoming};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::id::NodeName;
use crate::limits;
use crate::mesh::admission::{Attempt, Place, Verdict};
use crate::mesh::endpoint::CloseCode;
use crate::mesh::frame::ProbeAnswer;
use crate::mesh::handshake::{self, HandshakeError, Opening};
use crate::mesh::identity::IdentityError;
use crate::mesh::links::Links;
use crate::mesh::meeting::{self, Hearing};
use crate::mesh::refusal::Refusal;
use crate::metrics::label::Task;

impl Links {
    /// Accepts connections until the endpoint closes. Probes are answered at once, handshakes once
    /// the node has [started](Links::start).
    pub(crate) async fn accept(self: Arc<Self>) {
        while let Some(incoming) = self.endpoint.accept().await {
            let from = incoming.remote_address();
            let attempt = Attempt {
                from,
                proven: incoming.remote_address_validated(),
                first_id: incoming.orig_dst_cid(),
            };
            match self.admission.judge(&attempt, Instant::now()) {
                Verdict::Begin(place) => {
                    let shake = Arc::clone(&self).shake_hands(incoming, place);
                    // Should it panic, whoever dialled finds the connection closed.
                    self.spawn(self.vitals.contained(Task::Handshake, shake).map(drop));
                }
                Verdict::Validate => {
                    self.metrics.mesh_retries.increment(1);
                    let _ = incoming.retry(); // It carries no token yet, which is the only way to fail.
                }
                Verdict::Refuse => {
                    incoming.refuse();
                    self.refused(Some(Refusal::Flood), from, &"too many handshakes are under way");
                }
            }
        }
    }

    /// Holds the place until there is a link, or until it is clear that there is none.
    async fn shake_hands(self: Arc<Self>, incoming: Incoming, _place: Place) {
        let from = incoming.remote_address();
        // Whoever dials has given up by then.
        let connection = match timeout(limits::DIAL_TIMEOUT, incoming.into_future()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return self.refused(Refusal::of_connection(&error), from, &error),
            Err(_) => return self.refused(Some(Refusal::Unfinished), from, &"the handshake takes too long"),
        };
        if let Err(error) = self.answer(&connection).await {
            let refusal = match &error {
                AnswerError::Identity(_) => Some(Refusal::Identity),
                AnswerError::Handshake { error, .. } => Refusal::of_greeting(error, &connection),
            };
            match &error {
                AnswerError::Handshake { peer, error } if error.is_disagreement() => {
                    self.disagreed(peer, from, error);
                }
                _ => self.refused(refusal, from, &error),
            }
            CloseCode::Protocol.close(&connection);
        }
    }

    async fn answer(self: &Arc<Self>, connection: &Connection) -> Result<(), AnswerError> {
        let proven = self.identity.peer_name(connection)?;
        let failed = |error: HandshakeError| AnswerError::Handshake { peer: proven.clone(), error };
        match handshake::opening(connection, &proven).await.map_err(failed)? {
            Opening::Probe(probe, stream) => {
                let known = self.started.get().map(|started| &started.members);
                let members = known.map(|known| known.members()).unwrap_or_default().into_iter();
                let answer = ProbeAnswer {
                    known: known.and_then(|known| known.incarnation_of(&probe.name)),
                    members: members.map(|m| m.mesh).collect(),
                };
                handshake::answer_probe(stream, &answer).await.map_err(failed)?;
                CloseCode::Probed.close(connection);
            }
            Opening::Link(hello, asked) => {
                let mut incarnation = self.incarnation.subscribe();
                let started = incarnation.wait_for(Option::is_some).await.is_ok();
                debug_assert!(started, "this node holds the sender");
                let own = self.incarnation.borrow().expect("links are made after the start");
                let known = self.members().superseding(&hello.name, hello.incarnation);
                let hearing = meeting::is_greeted((&self.me, own), (&hello.name, hello.incarnation), known);
                if let Hearing::Over { known } = hearing {
                    handshake::refuse(asked, known).await.map_err(failed)?;
                    CloseCode::Stale.close(connection);
                    let stale = HandshakeError::PeerIsStale { known };
                    self.refused(Some(Refusal::Stale), connection.remote_address(), &stale);
                    return Ok(());
                }
                if self.shared.offenders.barred(&hello.name, Instant::now()) {
                    return Err(failed(HandshakeError::Barred));
                }
                if let Err(error) = handshake::agree(&self.settings, &hello.settings) {
                    // It may be gone already; the reason is told here all the same.
                    let _ = handshake::disagree(asked, self.settings.clone()).await;
                    CloseCode::Disagreed.close(connection);
                    return Err(failed(error));
                }
                let version = asked.version;
                handshake::welcome(asked, self.hello()).await.map_err(failed)?;
                if let Hearing::Myself { later } = hearing {
                    if later {
                        self.members().superseded(hello.incarnation);
                    }
                    return Ok(());
                }
                self.establish(connection.clone(), version, hello, false);
            }
        }
        Ok(())
    }

    /// Counts a connection that was refused, and logs one now and then.
    pub(super) fn refused(&self, refusal: Option<Refusal>, from: SocketAddr, error: &dyn std::fmt::Display) {
        let Some(refusal) = refusal else { return };
        self.metrics.mesh_handshakes_refused.with(refusal).increment(1);
        if let Some(count) = self.refusals.due(Instant::now()) {
            info!(%from, %error, count, "connections to the mesh were refused; the last one is named");
        }
    }

    /// Counts a peer that is a member by its key and cannot be linked by its settings, and logs it now and then.
    pub(super) fn disagreed(&self, peer: &NodeName, addr: SocketAddr, error: &HandshakeError) {
        let reason =
            if matches!(error, HandshakeError::OtherHashKey) { Refusal::HashKey } else { Refusal::Takeover };
        self.metrics.mesh_handshakes_refused.with(reason).increment(1);
        if self.disagreements.told(peer, &error.to_string(), Instant::now()) {
            warn!(%peer, %addr, %error, "a node of this cluster is not linked: its settings differ");
        }
    }
}

/// Why an accepted connection was not linked.
#[derive(Debug, thiserror::Error)]
enum AnswerError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{peer}: {error}")]
    Handshake { peer: NodeName, error: HandshakeError },
}
