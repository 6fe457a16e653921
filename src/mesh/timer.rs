//! Timers of QUIC that are rarely moved.
//!
//! A connection moves its one timer with every packet, mostly to a later time, sometimes to an earlier
//! one and back. Each move towards now takes the lock of the runtime's timers and may wake the thread
//! that waits for them, which costs as much as a packet. A timer here is moved only to fire earlier than
//! it would. When it fires before it has to, it is set again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime};
use tokio::runtime::Handle;

use crate::metrics::label::Task;
use crate::vital::Vitals;

/// A runtime whose timers are rarely moved. A task of QUIC that panics is counted: the end of the endpoint
/// or of the connection that it drove is noticed by whoever uses that.
pub(crate) struct LazyTimers {
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Where the tasks of QUIC run.
    pub(crate) thread: Handle,
    pub(crate) vitals: Vitals,
}

impl fmt::Debug for LazyTimers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LazyTimers").field(&self.runtime).finish()
    }
}

impl Runtime for LazyTimers {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(LazyTimer { timer: self.runtime.new_timer(at), set: at, due: at })
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let vitals = self.vitals.clone();
        let _on = self.thread.enter();
        self.runtime.spawn(Box::pin(async move {
            let _ = vitals.contained(Task::Quic, future).await;
        }));
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> std::io::Result<Arc<dyn AsyncUdpSocket>> {
        self.runtime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        self.runtime.now()
    }
}

struct LazyTimer {
    timer: Pin<Box<dyn AsyncTimer>>,
    /// When the timer fires.
    set: Instant,
    /// When it has to; not before `set`.
    due: Instant,
}

impl AsyncTimer for LazyTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.due = at;
        if at < self.set {
            self.set = at;
            self.timer.as_mut().reset(at);
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.set >= self.due {
                return Poll::Ready(());
            }
            self.set = self.due;
            let due = self.due;
            self.timer.as_mut().reset(due);
        }
    }
}

impl fmt::Debug for LazyTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyTimer").field("set", &self.set).field("due", &self.due).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::task::noop_waker_ref;

    use super::*;

    /// A timer whose clock is moved by hand, and the number of times that it was set.
    #[derive(Debug, Default)]
    struct Hand {
        now: Mutex<Option<Instant>>,
        at: Mutex<Option<Instant>>,
        sets: AtomicUsize,
    }

    #[derive(Debug)]
    struct HandTimer(Arc<Hand>);

    impl AsyncTimer for HandTimer {
        fn reset(self: Pin<&mut Self>, at: Instant) {
            *self.0.at.lock().unwrap() = Some(at);
            self.0.sets.fetch_add(1, Ordering::Relaxed);
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            let fired = *self.0.now.lock().unwrap() >= *self.0.at.lock().unwrap();
            if fired { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    #[test]
    fn a_timer_fires_when_it_is_due_and_is_moved_only_towards_now() {
        let start = tokio::time::Instant::now().into_std();
        let at = |ms| start + Duration::from_millis(ms);
        let hand = Arc::new(Hand { at: Mutex::new(Some(at(10))), ..Hand::default() });
        let timer = Box::pin(HandTimer(Arc::clone(&hand)));
        let mut timer = Box::pin(LazyTimer { timer, set: at(10), due: at(10) });
        let fires = |ms, timer: &mut Pin<Box<LazyTimer>>| {
            *hand.now.lock().unwrap() = Some(at(ms));
            timer.as_mut().poll(&mut Context::from_waker(noop_waker_ref())).is_ready()
        };
        for ms in [50, 30, 70, 40] {
            timer.as_mut().reset(at(ms));
        }
        assert_eq!(hand.sets.load(Ordering::Relaxed), 0, "it fires soon enough");
        assert!(!fires(9, &mut timer) && !fires(10, &mut timer), "not due yet");
        assert_eq!(hand.sets.load(Ordering::Relaxed), 1, "set again when it fired");
        timer.as_mut().reset(at(20));
        assert_eq!(hand.sets.load(Ordering::Relaxed), 2, "it would have fired too late");
        assert!(!fires(19, &mut timer) && fires(20, &mut timer));
    }
}
