//! Which links are given up because nothing comes from their peers any more, whatever QUIC waits for. Pure.
//!
//! QUIC closes a silent connection after [`LINK_IDLE_TIMEOUT`](limits::LINK_IDLE_TIMEOUT), but not before three of its
//! probe timeouts are over (RFC 9000, section 10.1), and over a slow and lossy path those grow to many seconds. What
//! waits for an answer on the link would wait for all of that time.
//!
//! A process that was stopped itself has heard nobody meanwhile, and that says nothing about its peers: what they have
//! sent waits in its socket. So a silence counts from the end of the stop at the earliest. The rounds of the watch tell
//! the node that it was stopped: one of them is far too late.

use std::time::Duration;

use crate::limits;

/// Since when a node has listened without a pause.
#[derive(Debug, Clone, Default)]
pub struct Awake {
    since: Duration,
    /// The last round.
    looked: Duration,
}

impl Awake {
    /// The watch goes round at `now`, a time since the node started that never goes back.
    pub fn round(&mut self, now: Duration) {
        debug_assert!(now >= self.looked, "rounds come one after the other");
        if now.saturating_sub(self.looked) > limits::ROUND_LATE_MAX {
            self.since = now;
        }
        self.looked = now;
    }

    /// Whether a link is given up that was heard then for the last time.
    #[must_use]
    pub fn gives_up(&self, last_heard: Duration) -> bool {
        self.looked.saturating_sub(last_heard.max(self.since)) > limits::LINK_SILENCE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node whose watch went round until `from`, and then until `to`.
    fn until(awake: &mut Awake, from: Duration, to: Duration) {
        let mut now = from;
        while now < to {
            awake.round(now);
            now += limits::OVERLAY_TICK;
        }
        awake.round(to);
    }

    #[test]
    fn a_link_is_given_up_after_twice_the_time_that_quic_waits_for_at_least() {
        let mut awake = Awake::default();
        let heard = Duration::from_secs(7);
        let last = heard + 2 * limits::LINK_IDLE_TIMEOUT;
        until(&mut awake, Duration::ZERO, last);
        assert!(!awake.gives_up(heard));
        until(&mut awake, last, last + limits::OVERLAY_TICK);
        assert!(awake.gives_up(heard));
        assert!(!awake.gives_up(heard + limits::OVERLAY_TICK), "another one was heard later");
    }

    #[test]
    fn a_process_that_was_stopped_hears_its_peers_first() {
        let mut awake = Awake::default();
        let heard = Duration::from_secs(7);
        until(&mut awake, Duration::ZERO, heard);
        let woken = heard + Duration::from_secs(3_600);
        awake.round(woken);
        assert!(!awake.gives_up(heard), "what was sent to it waits in its socket");
        until(&mut awake, woken, woken + limits::LINK_SILENCE_MAX);
        assert!(!awake.gives_up(heard));
        awake.round(woken + limits::LINK_SILENCE_MAX + limits::OVERLAY_TICK);
        assert!(awake.gives_up(heard), "nothing came");
    }

    #[test]
    fn rounds_that_are_a_little_late_are_no_stop() {
        let mut awake = Awake::default();
        for round in 0..=11 {
            awake.round(round * limits::ROUND_LATE_MAX);
        }
        assert!(awake.gives_up(Duration::ZERO));
    }
}
