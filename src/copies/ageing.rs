//! When it is forgotten who has taken sessions over: once no client can have been away for so long.

use std::time::Duration;

use tokio::time::Instant;

use crate::copies::gone::forgotten_after;

/// What is forgotten in rounds, after one at least and two at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ageing {
    round: Duration,
    next: Option<Instant>,
}

impl Ageing {
    /// No session is kept for longer.
    pub(super) fn new(keep_max: Duration) -> Self {
        Self { round: forgotten_after(keep_max), next: None }
    }

    /// Whether a round is over.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let next = *self.next.get_or_insert(now + self.round);
        let is_due = now >= next;
        if is_due {
            self.next = Some(now + self.round);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_as_long_as_a_session_is_kept_and_a_while_longer() {
        let (begin, keep) = (Instant::now(), Duration::from_secs(60));
        let mut ageing = Ageing::new(keep);
        let mut due = |after: Duration| ageing.is_due(begin + after);
        let round = forgotten_after(keep);
        assert!(!due(Duration::ZERO) && !due(round - Duration::from_millis(1)) && due(round));
        assert!(!due(round + Duration::from_millis(1)) && due(2 * round));
    }
}
