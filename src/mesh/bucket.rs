//! An allowance that fills up with time: so many at once, so many a second after that. Pure.
//!
//! It is the generic cell rate algorithm (ITU-T I.371): one moment in time instead of a counter and a timer.

use std::time::Duration;

use tokio::time::Instant;

/// What may still be done now.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Time in which one is earned.
    interval: Duration,
    /// How far ahead of time may be spent.
    credit: Duration,
    /// Everything that was spent is earned by then; `None` before the first.
    earned: Option<Instant>,
}

impl Bucket {
    /// `burst` at once, `per_second` in the long run.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        assert!(per_second > 0 && burst > 0, "nothing would ever be allowed");
        let interval = Duration::from_secs(1) / per_second;
        Self { interval, credit: interval * (burst - 1), earned: None }
    }

    /// Spends one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let allowed = self.wait(now).is_zero();
        if allowed {
            self.earned = Some(self.earned.map_or(now, |earned| earned.max(now)) + self.interval);
        }
        allowed
    }

    /// How long it takes until there is one.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        let ahead = self.earned.map_or(Duration::ZERO, |earned| earned.saturating_duration_since(now));
        ahead.saturating_sub(self.credit)
    }

    /// Whether nothing is spent that is not earned again.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.earned.is_none_or(|earned| earned <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_at_once_and_then_as_many_as_are_earned() {
        let now = Instant::now();
        let mut bucket = Bucket::new(10, 3);
        let taken = |bucket: &mut Bucket, at| (0..9).filter(|_| bucket.take(at)).count();
        assert_eq!(taken(&mut bucket, now), 3);
        assert_eq!(bucket.wait(now), Duration::from_millis(100));
        assert_eq!(taken(&mut bucket, now + Duration::from_millis(99)), 0);
        assert_eq!(taken(&mut bucket, now + Duration::from_millis(200)), 2);
        assert!(!bucket.is_full(now + Duration::from_millis(499)));
        assert!(bucket.is_full(now + Duration::from_millis(500)));
        assert_eq!(taken(&mut bucket, now + Duration::from_secs(60)), 3, "it does not fill above its burst");
    }
}
