//! A small mailbox that never makes its sender wait: when it is full, the oldest message goes.
//!
//! Gossip is idempotent and repeated every round, so the newest message is worth the most and a
//! backlog is worth nothing. One mailbox stands before each peer, between chitchat's loop, which
//! must not wait, and the task that writes to the link. It keeps no promise of delivery.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::limits;

/// At most [`limits::GOSSIP_MAILBOX`] messages, first in, first out.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct Inner<T> {
    queue: VecDeque<T>,
    closed: bool,
}

/// What became of a message that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits.
    Stored,
    /// It waits, and the oldest message was dropped for it.
    DroppedOldest,
    /// The mailbox is closed: the message was dropped.
    Closed,
}

impl<T> Mailbox<T> {
    /// An empty, open mailbox.
    #[must_use]
    pub(crate) fn new() -> Self {
        let queue = VecDeque::with_capacity(limits::GOSSIP_MAILBOX);
        Self { inner: Mutex::new(Inner { queue, closed: false }), changed: Notify::new() }
    }

    /// Adds `message`, at the price of the oldest one when the mailbox is full. Never blocks.
    pub(crate) fn push(&self, message: T) -> Pushed {
        let mut inner = self.lock();
        if inner.closed {
            return Pushed::Closed;
        }
        let full = inner.queue.len() >= limits::GOSSIP_MAILBOX;
        if full {
            inner.queue.pop_front();
        }
        inner.queue.push_back(message);
        assert!(inner.queue.len() <= limits::GOSSIP_MAILBOX, "the mailbox keeps its bound");
        drop(inner);
        self.changed.notify_one();
        if full { Pushed::DroppedOldest } else { Pushed::Stored }
    }

    /// The oldest message, as soon as there is one; `None` once the mailbox is closed and empty.
    ///
    /// Cancel-safe: a message is taken in the same poll that returns it.
    pub(crate) async fn pop(&self) -> Option<T> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Listen before looking: a push in between must wake this.
            changed.as_mut().enable();
            {
                let mut inner = self.lock();
                if let Some(message) = inner.queue.pop_front() {
                    return Some(message);
                }
                if inner.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Refuses further messages. Those that wait can still be popped.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().expect("no panic happens under this lock but for a broken bound")
    }
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(limits::GOSSIP_MAILBOX > 0);

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_full_mailbox_drops_the_oldest_and_says_so() {
        let mailbox = Mailbox::new();
        for message in 0..limits::GOSSIP_MAILBOX {
            assert_eq!(mailbox.push(message), Pushed::Stored);
        }
        assert_eq!(mailbox.push(limits::GOSSIP_MAILBOX), Pushed::DroppedOldest);
        for expected in 1..=limits::GOSSIP_MAILBOX {
            assert_eq!(mailbox.pop().await, Some(expected));
        }
        assert_eq!(poll(pin!(mailbox.pop())), Poll::Pending);
    }

    #[tokio::test]
    async fn a_cancelled_pop_loses_no_message() {
        let mailbox = Mailbox::new();
        {
            let mut cancelled = pin!(mailbox.pop());
            assert_eq!(poll(cancelled.as_mut()), Poll::Pending);
            mailbox.push("first");
        }
        assert_eq!(mailbox.pop().await, Some("first"));
    }

    #[tokio::test]
    async fn a_closed_mailbox_gives_what_it_holds_and_then_nothing() {
        let mailbox = Mailbox::new();
        mailbox.push(1);
        mailbox.close();
        assert_eq!(mailbox.push(2), Pushed::Closed);
        assert_eq!(mailbox.pop().await, Some(1));
        assert_eq!(mailbox.pop().await, None);
        assert_eq!(mailbox.pop().await, None);
    }

    #[tokio::test]
    async fn closing_wakes_a_waiting_pop() {
        let mailbox = Mailbox::<u8>::new();
        let mut waiting = pin!(mailbox.pop());
        assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        mailbox.close();
        assert_eq!(poll(waiting.as_mut()), Poll::Ready(None));
    }

    #[tokio::test]
    async fn two_waiters_each_get_a_message_of_a_burst() {
        let mailbox = Mailbox::new();
        let (mut one, mut other) = (pin!(mailbox.pop()), pin!(mailbox.pop()));
        assert_eq!(poll(one.as_mut()), Poll::Pending);
        assert_eq!(poll(other.as_mut()), Poll::Pending);
        mailbox.push('a');
        mailbox.push('b');
        assert_eq!((one.await, other.await), (Some('a'), Some('b')));
    }
}
