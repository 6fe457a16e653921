//! Looks whether the name of `--mesh-advertise` still means the address that peers were told.
//!
//! The address is a part of what the cluster knows a boot by, and cannot change while the node runs. Its links stay, because this
//! node dials as well; peers that dial it do not reach it any more. So the operator is told.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::warn;

use crate::config::Advertised;

/// Looks again and again, for as long as it is asked to.
pub(super) async fn watch(advertised: Option<Advertised>) -> Infallible {
    let Some(advertised) = advertised.filter(Advertised::is_name) else { return pending().await };
    let (mut before, mut told) = (advertised.addr(), advertised.addr());
    loop {
        sleep(LOOK_EVERY).await;
        let name = advertised.clone();
        // A name that is not resolved now says nothing.
        let Ok(Ok(now)) = spawn_blocking(move || name.again()).await else { continue };
        // Seen twice: a name with several addresses has another first one now and then.
        if now == before && now != told {
            warn!(
                name = %advertised, was = %advertised.addr(), %now,
                "the name of --mesh-advertise means another address now, and peers were told the one before: restart this node"
            );
            told = now;
        }
        before = now;
    }
}

/// Time between two looks. Guess: as long as names are mostly cached.
const LOOK_EVERY: Duration = Duration::from_secs(30);
