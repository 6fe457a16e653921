//! What a client whose session is kept does on one connection: when it acknowledges, what it says that it has, and how it goes.

use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::Duration;

use crate::event::kept::Shows;
use crate::settings::Keeping;

/// How a client behaves on one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manner {
    /// What it says that it has.
    pub(super) shows: Shows,
    /// How long it waits for more to acknowledge.
    pub(super) acks_after: Duration,
    /// No acknowledgement of the first so long gets out.
    pub(super) acks_lost: Duration,
    /// It breaks when it has received so many messages.
    pub(super) breaks_after: Option<u32>,
    /// It acknowledges with the first message what it was not sent.
    pub(super) ahead: bool,
    /// How it goes in good order.
    pub(super) goes: Goes,
}

/// How a client closes a connection in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goes {
    /// It says so: the session ends.
    Bye,
    /// With the code for that: the session ends.
    Normal,
    /// With no code: the session is kept.
    Away,
}

impl Manner {
    /// That of a client which does all right.
    pub(super) fn careful() -> Self {
        Self {
            shows: Shows::All,
            acks_after: Duration::from_millis(10),
            acks_lost: Duration::ZERO,
            breaks_after: None,
            ahead: false,
            goes: Goes::Away,
        }
    }

    /// Draws one.
    pub(super) fn draw(rng: &mut StdRng, keeping: &Keeping) -> Self {
        let mut manner = Self::careful();
        manner.acks_after =
            Duration::from_millis(if rng.random_bool(0.7) { 10 } else { rng.random_range(0..1_000) });
        manner.goes = match rng.random_range(0..4) {
            0 => Goes::Bye,
            1 => Goes::Normal,
            _ => Goes::Away,
        };
        let mut careless = |part: f64| rng.random_bool(keeping.careless * part);
        let (lost, breaks, ahead, shows) = (careless(0.5), careless(0.4), careless(0.2), careless(0.5));
        manner.ahead = ahead;
        if lost {
            manner.acks_lost = Duration::from_millis(rng.random_range(100..ACKS_LOST_MS_MAX));
        }
        manner.breaks_after = breaks.then(|| rng.random_range(1..BREAKS_AFTER_MAX));
        if shows {
            manner.shows = [Shows::Older, Shows::Older, Shows::Nothing, Shows::Forged, Shows::Half]
                [rng.random_range(0..5)];
        }
        manner
    }
}

/// The longest that acknowledgements get lost, in milliseconds. Guess: long enough for a full window.
const ACKS_LOST_MS_MAX: u64 = 6_000;
/// The longest part of a tail after which a client breaks, in messages.
const BREAKS_AFTER_MAX: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy;

    #[test]
    fn only_who_is_careless_does_what_a_client_should_not() {
        let drawn = |careless| {
            let keeping = Keeping { seconds: 9, careless, everybody: false, copies: 0 };
            let mut rng = entropy::stream(1, "manner");
            (0..500).map(|_| Manner::draw(&mut rng, &keeping)).collect::<Vec<_>>()
        };
        let wrong = |manner: &&Manner| {
            manner.ahead
                || manner.breaks_after.is_some()
                || !manner.acks_lost.is_zero()
                || manner.shows != Shows::All
        };
        assert_eq!(drawn(0.0).iter().filter(wrong).count(), 0);
        let careless = drawn(0.6);
        for shows in [Shows::All, Shows::Older, Shows::Nothing, Shows::Forged, Shows::Half] {
            assert!(careless.iter().any(|manner| manner.shows == shows), "{shows:?}");
        }
        assert!(
            careless.iter().any(|manner| manner.ahead)
                && careless.iter().any(|manner| !manner.acks_lost.is_zero())
        );
    }
}
