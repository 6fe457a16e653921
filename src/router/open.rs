//! Opens a session for a client that may go meanwhile.
//!
//! Where owners are asked to let go before there is a claim, that claim is made also when the client has gone by then: the session
//! that let go for it goes on here, parked. Otherwise nobody would own it, and the client would be told that it had none when it
//! comes back.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tracing::Instrument;

use crate::directory::policy;
use crate::id::SessionKey;
use crate::limits;
use crate::metrics::label::Task;
use crate::replica::HeldByAnother;
use crate::router::{Claimant, Lease, Router};
use crate::session::Permit;

impl Router {
    /// Makes this node the owner of the session `names`. Dropping the future opens it for nobody: a session that is kept is parked.
    ///
    /// # Errors
    /// [`HeldByAnother`]: under [`RejectNewer`](crate::config::Takeover::RejectNewer), or the client is away, and a later claim is shown.
    pub(crate) async fn open(
        self: &Arc<Self>,
        names: SessionKey,
        claimant: Claimant,
        permit: Option<Permit>,
    ) -> Result<Lease, HeldByAnother> {
        if claimant.kept.is_none() || !policy::asks_first(self.parts.replica.takeover()) {
            return self.open_above(names, claimant, permit, &watch::Sender::default()).await;
        }
        let (mut opened, answer) = oneshot::channel();
        let router = Arc::clone(self);
        let work = async move {
            let is_claimed = watch::Sender::new(false);
            let mut claimed = is_claimed.subscribe();
            let mut opening = pin!(router.open_above(names, claimant, permit, &is_claimed));
            let is_for_nobody = async {
                opened.closed().await;
                let _ = claimed.wait_for(|claimed| *claimed).await;
            };
            tokio::select! {
                lease = &mut opening => drop(opened.send(lease)),
                () = is_for_nobody => {}
            }
        };
        tokio::spawn(self.parts.vitals.contained(Task::Request, work.in_current_span()));
        // Nothing is sent where that has panicked, or the whole program ends.
        answer.await.unwrap_or(Err(HeldByAnother))
    }

    /// The same, as long as the future is not dropped. `is_claimed`: whether it is by now.
    async fn open_above(
        self: &Arc<Self>,
        names: SessionKey,
        claimant: Claimant,
        permit: Option<Permit>,
        is_claimed: &watch::Sender<bool>,
    ) -> Result<Lease, HeldByAnother> {
        // A client waits no longer where it is claimed more than once.
        let mut until = None;
        let opened = self.open_once(names.clone(), claimant.clone(), permit, &mut until, is_claimed).await?;
        let (mut lease, mut outclaimed) = opened;
        // The directory does not show the claim that stands above this one: the next is made above that.
        for _ in 0..limits::HOPS_MAX {
            if !outclaimed {
                break;
            }
            is_claimed.send_replace(false);
            let permit = lease.take_permit();
            let next =
                self.open_once(names.clone(), claimant.clone(), permit, &mut until, is_claimed).await?;
            (lease, outclaimed) = next;
        }
        Ok(lease)
    }
}
