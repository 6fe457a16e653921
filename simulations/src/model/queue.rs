//! What will happen, in order: by time, and at one time in the order in which it was put in.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Things that are due at a time.
pub(super) struct Queue<T> {
    heap: BinaryHeap<Due<T>>,
    sequence: u64,
}

struct Due<T> {
    at: Duration,
    sequence: u64,
    item: T,
}

impl<T> Queue<T> {
    /// Nothing will happen.
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0 }
    }

    /// `item` is due `at` that time.
    pub(super) fn put(&mut self, at: Duration, item: T) {
        self.sequence += 1;
        self.heap.push(Due { at, sequence: self.sequence, item });
    }

    /// The next thing that is due at `until` or before, with its time.
    pub(super) fn next(&mut self, until: Duration) -> Option<(Duration, T)> {
        if self.heap.peek()?.at > until {
            return None;
        }
        self.heap.pop().map(|due| (due.at, due.item))
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first.
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Due<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_at_one_time_happens_in_the_order_in_which_it_was_put_in() {
        let mut queue = Queue::new();
        let at = Duration::from_millis;
        for (time, item) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b'), (9, 'e')] {
            queue.put(at(time), item);
        }
        let due: String = std::iter::from_fn(|| queue.next(at(5))).map(|(_, item)| item).collect();
        assert_eq!(due, "abcd");
    }
}
