//! How often something may happen: so many times in a while, all at once or spread.
//!
//! A rate is a bucket that holds so many tokens and is full again after that while. Each time takes one token; without one
//! it has to wait. What a bucket needs to remember is when it will be full again.
//!
//! Source: ITU-T I.371, "Generic Cell Rate Algorithm", as a virtual scheduling algorithm.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::Instant;

use super::duration::{self, show};
use crate::limits;

/// So many times in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    times: u32,
    within: Duration,
}

/// How full a bucket is; the default is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    full_at: Option<Instant>,
}

impl Rate {
    /// Default of `--takeovers-per-session`. Of two clients at two nodes each node sees every other takeover. Guess: nobody changes
    /// the network so often, and clients that come back at once are there within seconds.
    pub const TAKEOVERS: Self = Self { times: 5, within: Duration::from_secs(30) };

    /// `times` in any `within`.
    ///
    /// # Errors
    /// [`RateError`]: never at all, or in less than a millisecond or more than an hour.
    pub fn new(times: u32, within: Duration) -> Result<Self, RateError> {
        let is_good = times > 0 && (Duration::from_millis(1)..=limits::RATE_WITHIN_MAX).contains(&within);
        if is_good { Ok(Self { times, within }) } else { Err(RateError) }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none; after that time there will be one.
    pub(crate) fn take(self, bucket: &mut Bucket, now: Instant) -> Result<(), Duration> {
        match self.wait(*bucket, now) {
            Some(missing) => Err(missing),
            None => {
                bucket.full_at = Some(now + self.after(*bucket, now));
                Ok(())
            }
        }
    }

    /// After which time there will be a token, if there is none.
    pub(crate) fn wait(self, bucket: Bucket, now: Instant) -> Option<Duration> {
        self.after(bucket, now).checked_sub(self.within).filter(|missing| *missing > ROUNDING)
    }

    /// How long the bucket takes to be full again once a token is taken.
    fn after(self, bucket: Bucket, now: Instant) -> Duration {
        let empty_for =
            bucket.full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now));
        empty_for + self.within / self.times
    }
}

impl Bucket {
    /// Whether it is full, so that nothing has to be remembered of it.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|full_at| full_at <= now)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.times, show(self.within))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    /// Reads `TIMES/DURATION`, such as `20/10s`; white space around it does not count.
    ///
    /// # Errors
    /// [`RateError`] says how a rate is written.
    fn from_str(text: &str) -> Result<Self, RateError> {
        let (times, within) = text.trim().split_once('/').ok_or(RateError)?;
        let digits = !times.is_empty() && times.bytes().all(|byte| byte.is_ascii_digit());
        let times = times.parse().ok().filter(|_| digits).ok_or(RateError)?;
        Self::new(times, duration::parse(within).map_err(|_| RateError)?)
    }
}

/// Why a text is not a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number, a slash and a duration from 1ms to 1h: 20/10s is 20 times in 10 seconds")]
pub struct RateError;

/// What parts of a while that do not come out even add up to. Guess: far more than a nanosecond for each token.
const ROUNDING: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_it_is_written() {
        for text in ["20/10s", "1/1ms", "4294967295/1h"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!(" 5/60s\n".parse::<Rate>().unwrap().to_string(), "5/1m");
        for wrong in
            ["", "20", "/10s", "20/", "0/1s", "20/0s", "-1/1s", "+1/1s", "1.5/1s", "20/2h", "20/10", "a/1s"]
        {
            assert_eq!(wrong.parse::<Rate>(), Err(RateError), "{wrong:?}");
        }
    }

    #[test]
    fn all_tokens_may_be_taken_at_once_and_come_back_one_by_one() {
        let (rate, start) = (Rate::new(3, Duration::from_secs(9)).unwrap(), Instant::now());
        let mut bucket = Bucket::default();
        let mut take = |at_s| rate.take(&mut bucket, start + Duration::from_secs(at_s));
        for _ in 0..3 {
            assert_eq!(take(0), Ok(()));
        }
        assert_eq!(take(0), Err(Duration::from_secs(3)));
        assert_eq!(take(1), Err(Duration::from_secs(2)), "whoever is refused takes none");
        assert_eq!((take(3), take(3)), (Ok(()), Err(Duration::from_secs(3))));
        assert_eq!([take(60), take(60), take(60)], [Ok(()); 3], "it holds no more than all of them");
        assert!(take(60).is_err());
    }

    #[test]
    fn parts_that_do_not_come_out_even_refuse_nobody() {
        let (rate, now) = (Rate::new(7, Duration::from_millis(1)).unwrap(), Instant::now());
        let mut bucket = Bucket::default();
        assert!((0..7).all(|_| rate.take(&mut bucket, now).is_ok()));
        assert!(rate.take(&mut bucket, now).is_err());
        assert!(!bucket.is_full(now) && bucket.is_full(now + Duration::from_millis(2)));
    }
}
