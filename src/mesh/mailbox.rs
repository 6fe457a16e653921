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
    queue: Mutex<VecDeque<T>>,
    changed: Notify,
}

/// What became of a message that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits.
    Stored,
    /// It waits, and the oldest message was dropped for it.
    DroppedOldest,
}

impl<T> Mailbox<T> {
    /// An empty mailbox.
    #[must_use]
    pub(crate) fn new() -> Self {
        let queue = VecDeque::with_capacity(limits::GOSSIP_MAILBOX);
        Self { queue: Mutex::new(queue), changed: Notify::new() }
    }

    /// Adds `message`, at the price of the oldest one when the mailbox is full. Never blocks.
    pub(crate) fn push(&self, message: T) -> Pushed {
        let mut queue = self.lock();
        let full = queue.len() >= limits::GOSSIP_MAILBOX;
        if full {
            queue.pop_front();
        }
        queue.push_back(message);
        assert!(queue.len() <= limits::GOSSIP_MAILBOX, "the mailbox keeps its bound");
        drop(queue);
        self.changed.notify_one();
        if full { Pushed::DroppedOldest } else { Pushed::Stored }
    }

    /// The oldest message, as soon as there is one.
    ///
    /// Cancel-safe: a message is taken in the same poll that returns it.
    pub(crate) async fn pop(&self) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Listen before looking: a push in between must wake this.
            changed.as_mut().enable();
            if let Some(message) = self.lock().pop_front() {
                return message;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.queue.lock().expect("no panic happens under this lock but for a broken bound")
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
            assert_eq!(mailbox.pop().await, expected);
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
        assert_eq!(mailbox.pop().await, "first");
    }

    #[tokio::test]
    async fn two_waiters_each_get_a_message_of_a_burst() {
        let mailbox = Mailbox::new();
        let (mut one, mut other) = (pin!(mailbox.pop()), pin!(mailbox.pop()));
        assert_eq!(poll(one.as_mut()), Poll::Pending);
        assert_eq!(poll(other.as_mut()), Poll::Pending);
        mailbox.push('a');
        mailbox.push('b');
        assert_eq!((one.await, other.await), ('a', 'b'));
    }
}
