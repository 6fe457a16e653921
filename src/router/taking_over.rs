//! A session that opens takes over what other nodes hold of it, and how long its client waits for that.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::copies::{Former, Progress};
use crate::directory::Owned;
use crate::id::Stamp;
use crate::key::DeviceHash;
use crate::limits;
use crate::position::Segment;
use crate::quorum::Boot;
use crate::router::Router;
use crate::session::Session;

/// What other nodes hold of a session is taken over.
pub(super) struct TakingOver {
    progress: watch::Receiver<Progress>,
    /// This node is among its earlier owners.
    pub(super) own: bool,
    /// No other sessions have to go for it.
    alone: bool,
    until: Instant,
}

impl TakingOver {
    /// Whether nothing is missed that was stored.
    pub(super) fn is_complete(&self) -> bool {
        self.progress.borrow().complete
    }

    /// Waits until the client may be told of the session, or for too long.
    pub(super) async fn until_known(&mut self) {
        let _ = timeout_at(self.until, self.progress.wait_for(|progress| progress.known)).await;
    }

    /// Waits until nothing is missing that was stored, and a while longer: an owner that lives has answered by then. Cancel-safe.
    pub(super) async fn until_sealed(taking: &mut Option<Self>) {
        match taking {
            Some(taking) if taking.alone => {
                if taking.progress.wait_for(|progress| progress.complete).await.is_err() {
                    return pending().await;
                }
                sleep(limits::OWNER_ANSWERS_WITHIN).await;
            }
            _ => pending().await,
        }
    }
}

impl Router {
    /// The session takes over what other nodes hold of it for its earlier owners, where copies are made.
    pub(super) fn take_over(
        &self,
        session: &Arc<Session>,
        named: &[Segment],
        displaced: &[(DeviceHash, Owned)],
        shown: Option<Stamp>,
    ) -> Option<TakingOver> {
        let copies = &self.parts.copies;
        if !copies.are_made() {
            return None;
        }
        let same_device = displaced.iter().filter(|(device, _)| *device == session.key().device);
        let shown_here = same_device.map(|(_, owned)| {
            let boot = Boot { name: owned.owner.clone(), incarnation: owned.incarnation };
            (boot, Segment::of(&owned.owner, owned.incarnation, owned.stamp))
        });
        let named = named.iter().filter_map(|segment| Some((copies.boot_of(*segment)?, *segment)));
        let (owners, segments): (Vec<_>, Vec<_>) = named.chain(shown_here).unzip();
        let own = owners.contains(copies.me());
        let progress = copies.take_over(session, Former { owners, segments, shown });
        // Sessions of other devices that have to go are waited for.
        let alone = displaced.iter().all(|(device, _)| *device == session.key().device);
        Some(TakingOver { progress, own, alone, until: Instant::now() + limits::TAKEOVER_TIMEOUT })
    }
}
