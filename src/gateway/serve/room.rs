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
    strangers: Patience<STRANGER_MAX, STRANGER_MIN>,
    known: Patience<KNOWN_MAX, KNOWN_MIN>,
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
        let inside = || self.guests.iter().filter(|guest| !guest.leave.is_cancelled());
        let Patience { ticks } = self.strangers;
        let gone =
            inside().filter(|guest| !guest.pace.is_known() && guest.slow >= ticks).take(places.div_ceil(4));
        let gone: Vec<_> = gone.map(|guest| guest.leave.clone()).collect();
        if !gone.is_empty() {
            self.strangers.shorten();
            return self.show_out(gone);
        }
        let Patience { ticks } = self.known;
        let mut slow: Vec<_> = inside()
            .filter(|guest| {
                guest.pace.is_known() && (guest.still >= ticks || guest.slow >= SLOW_FACTOR * ticks)
            })
            .collect();
        slow.sort_by_key(|guest| Reverse(guest.still));
        let gone: Vec<_> = slow.iter().take(places.div_ceil(8)).map(|guest| guest.leave.clone()).collect();
        if !gone.is_empty() {
            self.known.shorten();
            self.show_out(gone);
        }
    }

    fn show_out(&mut self, guests: Vec<CancellationToken>) {
        self.shown_out = Some(Instant::now());
        guests.iter().for_each(CancellationToken::cancel);
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
struct Patience<const MAX: u32, const MIN: u32> {
    ticks: u32,
}

impl<const MAX: u32, const MIN: u32> Default for Patience<MAX, MIN> {
    fn default() -> Self {
        Self { ticks: MAX }
    }
}

impl<const MAX: u32, const MIN: u32> Patience<MAX, MIN> {
    fn shorten(&mut self) {
        self.ticks = (self.ticks / 2).max(MIN);
    }
}

/// What is counted. Arithmetic: with four places or more, a crowd of 100 passes in a second.
const TICK: Duration = Duration::from_millis(10);
/// Ticks for a stranger. Guess: a request comes with its connection, and a part of it that is held back until the one
/// before is acknowledged comes 40 ms later.
const STRANGER_MAX: u32 = 10;
/// The same in a crowd.
const STRANGER_MIN: u32 = 1;
/// Ticks for one that is known, without a byte. Guess: longer than any sane round trip.
const KNOWN_MAX: u32 = 50;
/// The same in a crowd of them. With eight places it is longer: they go one by one.
const KNOWN_MIN: u32 = 2;
/// How many times as long one that is known may take with all of it. Guess: a handshake, a body and an answer.
const SLOW_FACTOR: u32 = 3;
/// How long nobody had to go when the crowd has passed. Guess.
const CALM_AFTER: Duration = Duration::from_secs(1);
