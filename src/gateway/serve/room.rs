//! Room for a few connections at once. Who waits for a place shows out those who keep the node waiting.
//!
//! ```text
//!   stranger ── the node answers, or has read a head ──► known
//!   goes after 0.1 s,                                    goes after 0.5 s without a byte, or 1.5 s in all;
//!   whatever it sends                                    never while the node works on its request
//! ```
//!
//! Time counts in [`TICK`]s in which somebody waited for a place: a busy node does not blame its callers, and nobody
//! is shown out for whom there is room. Strangers go first, of each kind those who have kept still for the longest, a
//! few in each tick. Whenever one had to go, the next has half the time, so that a crowd passes quickly; after a calm
//! second all is as before.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::pace::Pace;

/// The places and who has them.
pub(super) struct Room {
    free: Arc<Semaphore>,
    all: u32,
    /// Those who wait come in one after the other, and only the first of them shows others out.
    first: tokio::sync::Mutex<()>,
    crowd: Mutex<Crowd>,
}

impl Room {
    /// A room for so many.
    pub(super) fn new(places: usize) -> Self {
        let all = u32::try_from(places.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self {
            free: Arc::new(Semaphore::new(all as usize)),
            all,
            first: tokio::sync::Mutex::default(),
            crowd: Mutex::default(),
        }
    }

    /// Waits for a place for the connection that has this pace.
    pub(super) async fn enter(self: &Arc<Self>, pace: &Arc<Pace>) -> Place {
        let _first = self.first.lock().await;
        let free = Arc::clone(&self.free).acquire_owned();
        tokio::pin!(free);
        let permit = loop {
            tokio::select! {
                biased;
                permit = &mut free => break permit.expect("a room is never closed"),
                () = sleep(TICK) => self.crowd().tick(self.all as usize),
            }
        };
        let leave = CancellationToken::new();
        let id = self.crowd().enter(Arc::clone(pace), leave.clone());
        Place { id, leave, room: Arc::clone(self), _permit: permit }
    }

    /// Waits until nobody is inside.
    pub(super) async fn empty(&self) {
        let _all = self.free.acquire_many(self.all).await.expect("a room is never closed");
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
    strangers: Patience<STRANGER_MAX>,
    known: Patience<KNOWN_MAX>,
    /// When somebody had to go.
    shown_out: Option<Instant>,
}

struct Guest {
    id: u64,
    pace: Arc<Pace>,
    leave: CancellationToken,
    /// What had moved by the last tick.
    moves: u32,
    /// Ticks in a row in which nothing moved.
    still: u32,
    /// Ticks in all in which the node waited for it.
    slow: u32,
}

impl Crowd {
    fn enter(&mut self, pace: Arc<Pace>, leave: CancellationToken) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.guests.push(Guest { id, pace, leave, moves: 0, still: 0, slow: 0 });
        id
    }

    /// Somebody has waited for one tick more, where there are so many places.
    fn tick(&mut self, places: usize) {
        if self.shown_out.is_some_and(|at| at.elapsed() >= CALM_AFTER) {
            (self.strangers, self.known, self.shown_out) = Default::default();
        }
        self.guests.iter_mut().for_each(Guest::tick);
        let inside = self.guests.iter().filter(|guest| !guest.leave.is_cancelled());
        let (mut known, mut strangers): (Vec<_>, Vec<_>) = inside.partition(|guest| guest.pace.is_known());
        strangers.retain(|guest| guest.slow >= self.strangers.ticks);
        strangers.truncate(places.div_ceil(STRANGERS_PART));
        let patience = self.known.ticks;
        known.retain(|guest| guest.still >= patience || guest.slow >= SLOW_FACTOR * patience);
        known.sort_by_key(|guest| Reverse(guest.still));
        known.truncate(places.div_ceil(KNOWN_PART));
        let leaving = if strangers.is_empty() { &known } else { &strangers };
        if leaving.is_empty() {
            return;
        }
        leaving.iter().for_each(|guest| guest.leave.cancel());
        match strangers.is_empty() {
            true => self.known.shorten(),
            false => self.strangers.shorten(),
        }
        self.shown_out = Some(Instant::now());
    }
}

impl Guest {
    fn tick(&mut self) {
        let moves = self.pace.moves();
        let waited_for = !self.pace.is_at_work();
        self.still = if waited_for && moves == self.moves { self.still + 1 } else { 0 };
        self.slow += u32::from(waited_for);
        self.moves = moves;
    }
}

/// How many ticks one may keep the node waiting.
struct Patience<const MAX: u32> {
    ticks: u32,
}

impl<const MAX: u32> Default for Patience<MAX> {
    fn default() -> Self {
        Self { ticks: MAX }
    }
}

impl<const MAX: u32> Patience<MAX> {
    fn shorten(&mut self) {
        self.ticks = (self.ticks / 2).max(1);
    }
}

/// What is counted. Arithmetic: eight places that are shown out one by one are held for 80 ms in the worst of crowds.
const TICK: Duration = Duration::from_millis(10);
/// Ticks for a stranger. Guess: a request comes with its connection, and a part of it that is held back until the one
/// before is acknowledged comes 40 ms later.
const STRANGER_MAX: u32 = 10;
/// Ticks for one that is known, without a byte. Guess: longer than any sane round trip.
const KNOWN_MAX: u32 = 50;
/// How many times as long one that is known may take with all of it. Guess: a handshake, a body and an answer.
const SLOW_FACTOR: u32 = 3;
/// The part of the places whose strangers go in one tick. Guess: a crowd of them passes twice as fast as one of others.
const STRANGERS_PART: usize = 4;
/// The same of those that are known.
const KNOWN_PART: usize = 8;
/// How long nobody had to go when the crowd has passed. Guess.
const CALM_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: usize = 4;

    struct Inside(Arc<Pace>, CancellationToken);

    impl Inside {
        fn enter(crowd: &mut Crowd, known: bool) -> Self {
            let inside = Self(Arc::default(), CancellationToken::new());
            if known {
                inside.0.set_known();
            }
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
        let inside = [true, false, false, true].map(|known| Inside::enter(&mut crowd, known));
        assert_eq!(first_to_go(&mut crowd, &inside, &[1, 2]), (STRANGER_MAX, vec![1]));
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_that_are_known_the_one_goes_that_has_kept_still_for_the_longest() {
        let mut crowd = Crowd::default();
        let inside = [true; 3].map(|known| Inside::enter(&mut crowd, known));
        inside[0].0.set_at_work(true);
        for _ in 0..KNOWN_MAX - 1 {
            crowd.tick(PLACES);
        }
        inside[1].0.moved();
        assert_eq!(first_to_go(&mut crowd, &inside, &[]), (1, vec![2]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_trickles_has_its_time_in_all_and_for_whom_the_node_works_stays() {
        let mut crowd = Crowd::default();
        let inside = [true; 2].map(|known| Inside::enter(&mut crowd, known));
        inside[0].0.set_at_work(true);
        assert_eq!(first_to_go(&mut crowd, &inside, &[1]), (SLOW_FACTOR * KNOWN_MAX, vec![1]));
        assert_eq!(first_to_go(&mut crowd, &inside[..1], &[]), (1_000, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn each_that_goes_halves_the_time_of_its_kind_until_a_calm_second() {
        let mut crowd = Crowd::default();
        let mut next = |known| {
            let inside = [Inside::enter(&mut crowd, known)];
            let (ticks, _) = first_to_go(&mut crowd, &inside, &[]);
            crowd.guests.clear();
            ticks
        };
        assert_eq!([next(false), next(false), next(false), next(false), next(false)], [10, 5, 2, 1, 1]);
        assert_eq!([next(true), next(true)], [50, 25]);
        sleep(CALM_AFTER).await;
        assert_eq!([next(false), next(true)], [10, 50]);
    }
}
