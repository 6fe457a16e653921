//! Whether an owner is there, how long it is gone, and how long what belongs to its sessions outlives it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::id::NodeName;
use crate::limits;
use crate::membership::member::MemberState;
use crate::membership::roster::RosterEntry;
use crate::quorum::Boot;

/// Since when an owner is gone.
#[derive(Debug, Default)]
pub(super) struct Gone(Option<Instant>);

impl Gone {
    /// Looks whether it is there. Returns for how long it is not; `None`: it is.
    pub(super) fn look(&mut self, now: Instant, is_there: bool) -> Option<Duration> {
        if is_there {
            self.0 = None;
            return None;
        }
        let since = *self.0.get_or_insert(now);
        Some(now.saturating_duration_since(since))
    }
}

/// After how long nobody can come back to a session that is kept for that long.
pub(super) fn forgotten_after(keep: Duration) -> Duration {
    keep + limits::DROPPED_WITHIN
}

/// A boot as it is listed.
pub(super) fn listed<'a>(
    members: &'a BTreeMap<NodeName, RosterEntry>,
    boot: &Boot,
) -> Option<&'a RosterEntry> {
    members.get(&boot.name).filter(|entry| entry.incarnation == boot.incarnation)
}

/// Whether a boot is listed, and not dead.
pub(super) fn is_there(members: &BTreeMap<NodeName, RosterEntry>, boot: &Boot) -> bool {
    listed(members, boot).is_some_and(|entry| entry.state != MemberState::Dead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_gone_since_it_was_not_there_for_the_first_time_after_it_was() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut gone = Gone::default();
        let mut look = |after: u32, is_there| gone.look(begin + after * second, is_there);
        assert_eq!(
            [look(0, true), look(1, false), look(4, false)],
            [None, Some(Duration::ZERO), Some(3 * second)]
        );
        assert_eq!([look(5, true), look(6, false)], [None, Some(Duration::ZERO)]);
    }
}
