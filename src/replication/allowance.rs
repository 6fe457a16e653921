//! What the peer of one link may ask of the replication, and how much of it is sent at once.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::limits;
use crate::mesh::bucket::Bucket;
use crate::mesh::conduct::Breach;

/// What is left of it. Each link has one.
pub(crate) struct Allowance {
    asked: Mutex<Asked>,
    snapshots: Arc<Semaphore>,
}

struct Asked {
    digests: Bucket,
    accusations: Bucket,
}

impl Default for Allowance {
    fn default() -> Self {
        let digests = Bucket::new(limits::DIGESTS_PER_SECOND, 10 * limits::DIGESTS_PER_SECOND);
        let accusations = Bucket::new(1, limits::ACCUSATIONS_AT_ONCE);
        Self { asked: Mutex::new(Asked { digests, accusations }), snapshots: Arc::new(Semaphore::new(1)) }
    }
}

impl Allowance {
    /// The peer asks to compare where all sections stand.
    ///
    /// # Errors
    /// [`Breach::Flood`].
    pub(crate) fn digests(&self, now: Instant) -> Result<(), Breach> {
        if self.asked().digests.take(now) { Ok(()) } else { Err(Breach::Flood("digests")) }
    }

    /// The peer says that a copy of a section is wrong here. `false`: it has said so too often to be listened to,
    /// because each time a whole section travels.
    pub(crate) fn accuses(&self, now: Instant) -> bool {
        self.asked().accusations.take(now)
    }

    /// The place of the one snapshot that is sent to the peer at a time, so that none takes the places of all.
    pub(crate) fn snapshots(&self) -> &Arc<Semaphore> {
        &self.snapshots
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().expect("no panic happens under this lock")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_peer_that_accuses_every_copy_is_not_listened_to_for_long() {
        let (allowance, now) = (Allowance::default(), Instant::now());
        let heard = (0..1_000).filter(|_| allowance.accuses(now)).count();
        assert_eq!(heard, limits::ACCUSATIONS_AT_ONCE as usize);
        assert!(allowance.accuses(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_peer_that_compares_without_pause_ends_the_link() {
        let (allowance, now) = (Allowance::default(), Instant::now());
        let taken = (0..1_000).take_while(|_| allowance.digests(now).is_ok()).count();
        assert_eq!(taken, 10 * limits::DIGESTS_PER_SECOND as usize);
        assert!(matches!(allowance.digests(now), Err(Breach::Flood("digests"))));
        assert!(allowance.digests(now + Duration::from_secs(1)).is_ok());
    }
}
