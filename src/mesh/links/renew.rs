//! Other certificates while links are up: who has shown one that is not trusted any more has to show another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::mesh::endpoint::CloseCode;
use crate::mesh::identity::Identity;
use crate::mesh::link::Link;
use crate::mesh::links::Links;

impl Links {
    /// Shows what `fresh` shows from now on, and trusts whom it trusts. A link whose peer is not trusted any more is replaced by
    /// a new one; what is in flight on it may finish. Where that does not come about, it is closed.
    pub(crate) fn take_over(self: &Arc<Self>, fresh: &Identity) {
        self.identity.take_over(fresh);
        for link in self.all().into_iter().filter(|link| !self.identity.trusts(link.connection())) {
            self.spawn_for(&link, Arc::clone(self).renew(Arc::clone(&link)));
        }
    }

    /// Who this node is to its peers.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Replaces a link by a new one to the same peer, or closes it.
    async fn renew(self: Arc<Self>, link: Arc<Link>) {
        let give_up = Instant::now() + RENEW_WITHIN;
        let over = async {
            tokio::select! {
                () = link.retired() => {}
                _ = link.connection().closed() => {}
            }
        };
        tokio::pin!(over);
        while Instant::now() < give_up {
            // Why it did not come about is logged and counted where dials are.
            let _ = self.dial_once(link.peer().mesh).await;
            tokio::select! {
                () = &mut over => return,
                () = sleep(RENEW_AGAIN) => {}
            }
        }
        let peer = &link.peer().name;
        warn!(%peer, "the certificate that this peer has shown is not trusted any more, and it shows no other one: its link is closed");
        CloseCode::Ended.close(link.connection());
    }
}

/// How long a link may stay whose peer is not trusted any more. Arithmetic: two dials that fail by their timeouts, after the time within
/// which a link that has just come up stays against one that the other end dials.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// The pause between dials meanwhile.
const RENEW_AGAIN: Duration = Duration::from_secs(1);
