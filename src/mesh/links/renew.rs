//! Other certificates while links are up: who has shown one that is not trusted any more has to show another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::mesh::endpoint::CloseCode;
use crate::mesh::identity::Identity;
use crate::mesh::link::Link;
use crate::mesh::links::Links;

impl Links {
    /// Shows what `fresh` shows from now on, and trusts whom it trusts. A link whose peer is not trusted any more is replaced by
    /// a new one; what is in flight on it may finish. Where that does not come about, it is closed.
    pub(crate) fn replace_identity(self: &Arc<Self>, fresh: &Identity) {
        let before = self.identity.trusted();
        self.identity.replace(fresh);
        // Certificates that have expired since are no reason: only who may sign them.
        if self.identity.trusted() != before {
            let untrusted = |link: &Arc<Link>| !self.identity.trusts(link.connection());
            for link in self.all().into_iter().filter(untrusted).filter(|link| link.begin_renewal()) {
                self.spawn_for(&link, Arc::clone(self).renew(Arc::clone(&link)));
            }
        }
    }

    /// Who this node is to its peers.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Replaces a link by a new one to the same peer, or closes it.
    async fn renew(self: Arc<Self>, link: Arc<Link>) {
        let replaced = async {
            loop {
                // There is one dial at a time for an address, and it says by itself why it failed.
                self.dial(link.peer().mesh, Some(link.peer().name.clone()));
                tokio::select! {
                    () = link.retired() => return,
                    _ = link.connection().closed() => return,
                    () = sleep(RENEW_AGAIN) => {}
                }
            }
        };
        if timeout(RENEW_WITHIN, replaced).await.is_err() {
            let peer = &link.peer().name;
            warn!(%peer, "who signed the certificate of this peer is not trusted any more, and no link with another one came about: it is closed");
            CloseCode::Ended.close(link.connection());
        }
    }
}

/// How long a link may stay whose peer is not trusted any more. Arithmetic: two dials that fail by their timeouts, after the time within
/// which a link that has just come up stays against one that the other end dials.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// The pause between looks at whether it is dialled.
const RENEW_AGAIN: Duration = Duration::from_secs(1);
