//! How long a caller may take for the head of a request: long while nothing of it is there, short from its first byte.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::Timer;
use tokio::time::{Instant, Sleep, sleep};

use super::pace::Pace;
use super::places::Places;
use crate::limits;

/// The timer that hyper runs while it waits for a request. It asks for one each time a wait begins.
pub(super) struct HeadTimer {
    pub(super) pace: Arc<Pace>,
    /// How long nothing at all may come.
    pub(super) idle: Duration,
    /// How long a head may take from its first byte.
    pub(super) head: Duration,
    /// Who is idle has to make room when they are all taken.
    pub(super) places: Arc<Places>,
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.pace.wait_for_request();
        Box::pin(HeadWait {
            pace: Arc::clone(&self.pace),
            places: Arc::clone(&self.places),
            timer: Box::pin(sleep(self.idle.min(MAKE_ROOM_AFTER))),
            idle_until: Instant::now() + self.idle,
            head: self.head,
            begun: false,
        })
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(self.idle)
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

/// One wait for a request.
struct HeadWait {
    pace: Arc<Pace>,
    places: Arc<Places>,
    timer: Pin<Box<Sleep>>,
    idle_until: Instant,
    head: Duration,
    begun: bool,
}

impl hyper::rt::Sleep for HeadWait {}

impl Future for HeadWait {
    type Output = ();

    /// Polled again whenever bytes of the request have arrived.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.begun && this.pace.has_begun() {
            this.begun = true;
            this.timer.as_mut().reset(Instant::now() + this.head);
        }
        loop {
            ready!(this.timer.as_mut().poll(cx));
            let now = Instant::now();
            if this.begun || now >= this.idle_until || this.places.are_taken() {
                return Poll::Ready(());
            }
            this.timer.as_mut().reset(this.idle_until.min(now + MAKE_ROOM_AFTER));
        }
    }
}

/// How long a connection may be idle when there is no room for others. Source: as long as a head may take.
const MAKE_ROOM_AFTER: Duration = limits::HTTP_HEADER_TIMEOUT;

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::super::places::Shares;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte_however_long_nothing_came_before() {
        let pace = Arc::new(Pace::default());
        let timer = HeadTimer {
            pace: Arc::clone(&pace),
            idle: Duration::from_secs(75),
            head: limits::HTTP_HEADER_TIMEOUT,
            places: Arc::new(Places::new(Shares::new(0, None))),
        };
        let started = Instant::now();
        timer.sleep(Duration::ZERO).await;
        assert_eq!(started.elapsed().as_secs(), 75);

        let started = Instant::now();
        let mut wait = timer.sleep(Duration::ZERO);
        assert!(poll!(wait.as_mut()).is_pending());
        sleep(Duration::from_secs(70)).await;
        pace.has_arrived();
        assert!(poll!(wait.as_mut()).is_pending());
        wait.await;
        assert_eq!(started.elapsed().as_secs(), 70 + limits::HTTP_HEADER_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_idle_makes_room_when_all_places_are_taken() {
        let places = Arc::new(Places::new(Shares::new(0, Some(8))));
        let idle = Duration::from_secs(75);
        let timer = HeadTimer {
            pace: Arc::default(),
            idle,
            head: limits::HTTP_HEADER_TIMEOUT,
            places: Arc::clone(&places),
        };
        let wait = tokio::spawn(timer.sleep(Duration::ZERO));
        sleep(Duration::from_secs(30)).await;
        assert!(!wait.is_finished());
        let taken = places.take_all();
        let started = Instant::now();
        wait.await.unwrap();
        assert!(started.elapsed() <= MAKE_ROOM_AFTER, "{:?}", started.elapsed());
        drop(taken);
    }
}
