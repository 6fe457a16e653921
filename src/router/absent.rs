//! The sessions of clients that are away, and whose owners are gone, are kept on by this node.
//!
//! Nobody has to ask for that: a push finds such a session as it finds any other one, and who is there is told the same as before.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::copies::Absent;
use crate::limits;
use crate::push::Outcome;
use crate::router::operation::Adoption;
use crate::router::{Router, decisions};

impl Router {
    /// Keeps them on, until `stop`.
    pub(crate) async fn keep_absent(self: Arc<Self>, stop: CancellationToken) {
        let keeping = async {
            loop {
                sleep(limits::OVERLAY_TICK).await;
                let mut absent = self.parts.copies.absent();
                absent.retain(|absent| self.may_keep(absent));
                stream::iter(absent).for_each_concurrent(AT_ONCE, |absent| self.keep_on(absent)).await;
            }
        };
        stop.run_until_cancelled(keeping).await;
    }

    /// Whether this node is to keep it on. Whoever is seen to be elsewhere is not away from its former owner any more.
    fn may_keep(&self, absent: &Absent) -> bool {
        let known = self.parts.replica.lookup(absent.key).map(|owned| owned.stamp);
        if known.is_some_and(|stamp| stamp > absent.stamp) {
            self.parts.copies.is_back(absent);
            return false;
        }
        absent.is_mine && self.parts.replica.hasher().key(&absent.absence.names) == absent.key
    }

    async fn keep_on(self: &Arc<Self>, absent: Absent) {
        let Absent { absence, owner, stamp, seconds, .. } = absent;
        let (me, names) = (&self.parts.me, absence.names.clone());
        decisions::keeps_on(me, &names, &owner.name, stamp);
        let adoption = Adoption {
            owner: owner.name,
            incarnation: owner.incarnation,
            stamp,
            seconds,
            login: absence.login,
        };
        let outcome = self.keep(absence.names, adoption).await;
        decisions::kept_on(me, &names, &outcome);
        if outcome == Outcome::Delivered {
            self.parts.metrics.copies_kept_on.increment(1);
        }
    }
}

/// Sessions that are taken over at once. Guess: with a round trip of some milliseconds each these are thousands in a second.
const AT_ONCE: usize = 32;
