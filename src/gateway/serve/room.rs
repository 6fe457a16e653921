//! Room for a few connections at once. Who waits for a place shows out those who keep the node waiting.
//!
//! | the node waits for | until the connection has to go |
//! |---|---|
//! | the beginning of TLS, a head | 0.1 s, whatever bytes come |
//! | the rest of TLS, a body, that an answer is read | 0.5 s without a byte, 1.5 s in all |
//! | itself | never |
//!
//! Time counts in [`TICK`]s in which somebody waited for a place: a busy node does not blame its callers, and nobody
//! is shown out for whom there is room. A few go in each tick, first those who have kept still for the longest. Whenever
//! somebody had to go, the time of that [`Stage`] is halved, so that a crowd passes quickly and those at other stages are
//! none of it; after a calm second all is as before.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::share::Share;
use super::stage::Stage;

/// The places and who has them.
pub(super) struct Room {
    places: Share,
    /// Those who wait come in one after the other, and only the first of them shows others out.
    first: tokio::sync::Mutex<()>,
    crowd: Mutex<Crowd>,
}

impl Room {
    /// A room for so many.
    pub(super) fn new(places: usize) -> Self {
        Self { places: Share::new(places), first: tokio::sync::Mutex::default(), crowd: Mutex::default() }
    }

    /// Waits for a place for the connection that has this pace.
    pub(super) async fn enter(self: &Arc<Self>, pace: &Arc<Pace>) -> Place {
        let _first = self.first.lock().await;
        let free = self.places.take();
        tokio::pin!(free);
        let permit = loop {
            tokio::select! {
                biased;
                permit = &mut free => break permit,
                () = sleep(TICK) => self.crowd().tick(self.places.places()),
            }
        };
        let leave = CancellationToken::new();
        let id = self.crowd().enter(Arc::clone(pace), leave.clone());
        Place { id, leave, room: Arc::clone(self), _permit: permit }
    }

    /// Waits until nobody is inside.
    pub(super) async fn empty(&self) {
        self.places.empty().await;
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().expect("no panic happens under this lock")
    }
}

/// One place, as long as it is held.
pub(super) struct Place {
    id: u64,
    leave: CancellationToken,
    room: Arc<Room>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Ends when the connection has to go.
    pub(super) async fn has_to_go(&self) {
        self.leave.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.crowd().guests.retain(|guest| guest.id != self.id);
    }
}

/// Those inside, in the order in which they came.
#[derive(Default)]
struct Crowd {
    guests: Vec<Guest>,
    next_id: u64,
    patience: Patience,
}

struct Guest {
    id: u64,
    pace: Arc<Pace>,
    leave: CancellationToken,
    /// What had moved by the last tick.
    moves: u32,
    /// At which stage it was then.
    stage: Stage,
    /// Ticks in a row in which nothing moved.
    still: u32,
    /// Ticks in all at this stage.
    slow: u32,
}

impl Crowd {
    fn enter(&mut self, pace: Arc<Pace>, leave: CancellationToken) -> u64 {
        self.next_id += 1;
        let (id, stage) = (self.next_id, pace.stage());
        self.guests.push(Guest { id, pace, leave, moves: 0, stage, still: 0, slow: 0 });
        id
    }

    /// Somebody has waited for one tick more, where there are so many places.
    fn tick(&mut self, places: usize) {
        self.patience.recover();
        self.guests.iter_mut().for_each(Guest::tick);
        for stage in Stage::ALL {
            let ticks = self.patience.of(stage);
            let here = self.guests.iter().filter(|guest| guest.stage == stage && guest.goes(ticks));
            let mut going: Vec<_> = here.collect();
            going.sort_by_key(|guest| Reverse(guest.still));
            going.truncate(places.div_ceil(part(stage)));
            if !going.is_empty() {
                going.iter().for_each(|guest| guest.leave.cancel());
                self.patience.shorten(stage);
            }
        }
    }
}

impl Guest {
    fn tick(&mut self) {
        let (moves, stage) = (self.pace.moves(), self.pace.stage());
        if stage != self.stage {
            (self.still, self.slow) = (0, 0);
        } else {
            self.still = if moves == self.moves || stage.is_strange() { self.still + 1 } else { 0 };
            self.slow += 1;
        }
        (self.moves, self.stage) = (moves, stage);
    }

    /// Whether it has to go at a stage with so much patience.
    fn goes(&self, ticks: u32) -> bool {
        let slow = self.still >= ticks || self.slow >= SLOW_FACTOR * ticks;
        slow && self.stage != Stage::Working && !self.leave.is_cancelled()
    }
}

/// How many ticks one may keep the node waiting, at each stage.
struct Patience {
    ticks: [u32; Stage::ALL.len()],
    /// When somebody had to go.
    shortened: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        let ticks = Stage::ALL.map(|stage| if stage.is_strange() { STRANGE_TICKS } else { KNOWN_TICKS });
        Self { ticks, shortened: None }
    }
}

impl Patience {
    fn of(&self, stage: Stage) -> u32 {
        self.ticks[stage as usize]
    }

    fn shorten(&mut self, stage: Stage) {
        let ticks = &mut self.ticks[stage as usize];
        *ticks = (*ticks / 2).max(1);
        self.shortened = Some(Instant::now());
    }

    /// It is whole again once nobody had to go for a while.
    fn recover(&mut self) {
        if self.shortened.is_some_and(|at| at.elapsed() >= CALM_AFTER) {
            *self = Self::default();
        }
    }
}

/// The part of the places from which connections of a stage go in one tick. Guess: whoever shakes hands waits for a round
/// trip, and others wait for less.
fn part(stage: Stage) -> usize {
    if stage == Stage::Shaking { 8 } else { 4 }
}

/// What is counted. Arithmetic: in the worst of crowds one is inside for 40 ms, and for 80 ms while it shakes hands.
const TICK: Duration = Duration::from_millis(10);
/// Ticks for what may be anything. Guess: a request comes with its connection, and a part of it that is held back until
/// the one before is acknowledged comes 40 ms later.
const STRANGE_TICKS: u32 = 10;
/// Ticks for a caller of whom something is known, without a byte. Guess: longer than any sane round trip.
const KNOWN_TICKS: u32 = 50;
/// How many times as long it may take in all. Guess: a body in some parts.
const SLOW_FACTOR: u32 = 3;
/// How long nobody had to go when the crowd has passed. Guess.
const CALM_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: usize = 4;

    struct Inside(Arc<Pace>, CancellationToken);

    impl Inside {
        fn enter(crowd: &mut Crowd, stage: Stage) -> Self {
            let inside = Self(Arc::default(), CancellationToken::new());
            inside.0.set_stage(stage);
            crowd.enter(Arc::clone(&inside.0), inside.1.clone());
            inside
        }
    }

    /// Ticks until one of these has to go, and which; those that `moves` names move between them.
    fn first_to_go(crowd: &mut Crowd, inside: &[Inside], moves: &[usize]) -> (u32, Vec<usize>) {
        for ticks in 1..1_000 {
            moves.iter().for_each(|index| inside[*index].0.moved());
            crowd.tick(PLACES);
            let gone: Vec<_> = (0..inside.len()).filter(|index| inside[*index].1.is_cancelled()).collect();
            if !gone.is_empty() {
                return (ticks, gone);
            }
        }
        (1_000, Vec::new())
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_go_first_whatever_they_send_and_in_the_order_in_which_they_came() {
        let mut crowd = Crowd::default();
        let stages = [Stage::Body, Stage::Head, Stage::Head, Stage::Answered];
        let inside = stages.map(|stage| Inside::enter(&mut crowd, stage));
        assert_eq!(first_to_go(&mut crowd, &inside, &[1, 2]), (STRANGE_TICKS, vec![1]));
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_that_are_known_the_one_goes_that_has_kept_still_for_the_longest() {
        let mut crowd = Crowd::default();
        let inside = [Stage::Working, Stage::Body, Stage::Body].map(|stage| Inside::enter(&mut crowd, stage));
        for _ in 0..KNOWN_TICKS - 1 {
            crowd.tick(PLACES);
        }
        inside[1].0.moved();
        assert_eq!(first_to_go(&mut crowd, &inside, &[]), (1, vec![2]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_trickles_has_its_time_in_all_and_for_whom_the_node_works_stays() {
        let mut crowd = Crowd::default();
        let inside = [Stage::Working, Stage::Body].map(|stage| Inside::enter(&mut crowd, stage));
        assert_eq!(first_to_go(&mut crowd, &inside, &[1]), (SLOW_FACTOR * KNOWN_TICKS, vec![1]));
        assert_eq!(first_to_go(&mut crowd, &inside[..1], &[]), (1_000, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_on_to_the_next_stage_begins_anew() {
        let mut crowd = Crowd::default();
        let inside = [Inside::enter(&mut crowd, Stage::Shaking)];
        for _ in 0..KNOWN_TICKS - 1 {
            crowd.tick(PLACES);
        }
        inside[0].0.set_stage(Stage::Head);
        assert_eq!(first_to_go(&mut crowd, &inside, &[]), (1 + STRANGE_TICKS, vec![0]));
    }

    #[tokio::test(start_paused = true)]
    async fn each_that_goes_halves_the_time_of_its_stage_until_a_calm_second() {
        let mut crowd = Crowd::default();
        let mut next = |stage| {
            let inside = [Inside::enter(&mut crowd, stage)];
            let (ticks, _) = first_to_go(&mut crowd, &inside, &[]);
            crowd.guests.clear();
            ticks
        };
        assert_eq!([(); 5].map(|()| next(Stage::Head)), [10, 5, 2, 1, 1]);
        assert_eq!([(); 2].map(|()| next(Stage::Body)), [50, 25]);
        assert_eq!(next(Stage::Shaking), 50, "those are another crowd");
        sleep(CALM_AFTER).await;
        assert_eq!([Stage::Head, Stage::Body].map(next), [10, 50]);
    }
}
