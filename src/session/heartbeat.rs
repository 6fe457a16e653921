//! When to ping a client and when to give it up: pure, driven by the connection task.
//!
//! ```text
//!   heard within interval ── quiet for interval ──► Ping ── quiet for timeout ──► Dead
//!   no message either way for the idle timeout ──► Idle
//! ```

use std::time::Duration;

/// The timers of a connection; all of a node have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeartbeatTimers {
    /// Ping a client that was silent for this long.
    pub(crate) interval: Duration,
    /// Give up a client that was silent for this long, pongs included.
    pub(crate) timeout: Duration,
    /// End a session that passed no message for this long.
    pub(crate) idle: Option<Duration>,
}

/// What the timers ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// Nothing before this moment.
    Wait(Duration),
    /// Send a ping.
    Ping,
    /// The client is gone.
    Dead,
    /// The session is idle.
    Idle,
}

/// The heartbeat of one connection. Times are durations since the connection opened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heartbeat {
    heard: Duration,
    pinged: Duration,
    message: Duration,
}

impl Heartbeat {
    /// A frame of any kind arrived.
    pub(crate) fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    /// A message passed in either direction. It may be told later than one that passed after it.
    pub(crate) fn message(&mut self, at: Duration) {
        self.message = self.message.max(at);
    }

    /// What to do now; after [`Pulse::Ping`] the ping counts as sent.
    pub(crate) fn poll(&mut self, timers: &HeartbeatTimers, now: Duration) -> Pulse {
        assert!(timers.interval < timers.timeout, "a client must have the time to answer a ping");
        let dead_at = self.heard + timers.timeout;
        if now >= dead_at {
            return Pulse::Dead;
        }
        let idle_at = timers.idle.map(|idle| self.message + idle);
        if idle_at.is_some_and(|at| now >= at) {
            return Pulse::Idle;
        }
        let ping_at = self.heard.max(self.pinged) + timers.interval;
        if now >= ping_at {
            self.pinged = now;
            return Pulse::Ping;
        }
        Pulse::Wait(idle_at.map_or(ping_at, |at| at.min(ping_at)).min(dead_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    const TIMERS: HeartbeatTimers =
        HeartbeatTimers { interval: seconds(25), timeout: seconds(60), idle: Some(seconds(100)) };

    #[test]
    fn a_silent_client_is_pinged_and_then_given_up() {
        let mut heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.poll(&TIMERS, seconds(0)), Pulse::Wait(seconds(25)));
        assert_eq!(heartbeat.poll(&TIMERS, seconds(25)), Pulse::Ping);
        assert_eq!(heartbeat.poll(&TIMERS, seconds(25)), Pulse::Wait(seconds(50)));
        assert_eq!(heartbeat.poll(&TIMERS, seconds(50)), Pulse::Ping);
        assert_eq!(heartbeat.poll(&TIMERS, seconds(50)), Pulse::Wait(seconds(60)));
        assert_eq!(heartbeat.poll(&TIMERS, seconds(60)), Pulse::Dead);
    }

    #[test]
    fn a_pong_keeps_the_client_but_not_an_idle_session() {
        let mut heartbeat = Heartbeat::default();
        for at in [20, 40, 60, 80, 99] {
            heartbeat.heard(seconds(at));
        }
        assert_eq!(heartbeat.poll(&TIMERS, seconds(99)), Pulse::Wait(seconds(100)));
        assert_eq!(heartbeat.poll(&TIMERS, seconds(100)), Pulse::Idle);
        heartbeat.message(seconds(100));
        assert_eq!(heartbeat.poll(&TIMERS, seconds(100)), Pulse::Wait(seconds(124)));
    }

    #[test]
    fn a_message_that_is_told_late_does_not_undo_a_later_one() {
        let timers = HeartbeatTimers { interval: seconds(200), timeout: seconds(400), ..TIMERS };
        let mut heartbeat = Heartbeat::default();
        heartbeat.message(seconds(50));
        heartbeat.message(seconds(10));
        assert_eq!(heartbeat.poll(&timers, seconds(149)), Pulse::Wait(seconds(150)));
        assert_eq!(heartbeat.poll(&timers, seconds(150)), Pulse::Idle);
    }

    #[test]
    fn without_an_idle_timeout_a_session_may_be_silent_for_ever() {
        let timers = HeartbeatTimers { idle: None, ..TIMERS };
        let mut heartbeat = Heartbeat::default();
        heartbeat.heard(seconds(100_000));
        assert_eq!(heartbeat.poll(&timers, seconds(100_000)), Pulse::Wait(seconds(100_025)));
    }
}
