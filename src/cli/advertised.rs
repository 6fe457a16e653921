//! Looks whether the name of `--mesh-advertise` still means the address that peers were told.
//!
//! The address is a part of what the cluster knows a boot by, and cannot change while the node runs. Its links stay, because this
//! node dials as well; peers that dial it do not reach it any more. So the operator is told.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use crate::config::Advertised;
use crate::wire::{Resolver as _, SystemResolver};

/// Looks again and again, for as long as it is asked to. `told`: the address that peers were told.
pub(super) async fn watch(advertised: Option<&Advertised>, told: SocketAddr) -> Infallible {
    let Some(Advertised::Name(name)) = advertised else { return pending().await };
    let (mut before, mut said) = (told, told);
    loop {
        sleep(LOOK_EVERY).await;
        // A name that is not resolved now says nothing.
        let Some(now) = SystemResolver.lookup(name).await.ok().and_then(Advertised::choose) else { continue };
        // Seen twice, and once for each address.
        if now == before && now != said {
            said = now;
            if now != told {
                warn!(%name, %told, %now, "the name of --mesh-advertise means another address now than peers were told: restart this node");
            }
        }
        before = now;
    }
}

/// Time between two looks. Guess: as long as names are mostly cached.
const LOOK_EVERY: Duration = Duration::from_secs(30);
