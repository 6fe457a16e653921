//! What was written to one session, numbered in its order, and the last of it kept.
//!
//! The number of a message is its place in the order of writing, from 1 on. So none is stored: what is kept ends with
//! the last number, and what is being written and what waits follow it. Older messages go when there are more than the
//! log may have. A log that keeps nothing allocates nothing and touches no message.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::push::Message;

/// The log of one session.
#[derive(Default)]
pub(super) struct Log {
    /// The number of the message that was written last; 0 before the first.
    last: u64,
    /// The messages up to that number; `None` as long as none was kept.
    #[expect(clippy::box_collection, reason = "a session that keeps nothing pays one word for it")]
    kept: Option<Box<VecDeque<Arc<Message>>>>,
}

impl Log {
    /// Notes that these were written, in their order. From then on the last `length_max` are kept, in memory of
    /// their own.
    pub(super) fn append<'a>(
        &mut self,
        written: impl ExactSizeIterator<Item = &'a Arc<Message>>,
        length_max: usize,
    ) {
        self.last += written.len() as u64;
        if length_max == 0 {
            return;
        }
        let kept = self.kept.get_or_insert_default();
        for message in written {
            while kept.len() >= length_max {
                kept.pop_front();
            }
            kept.push_back(message.kept());
        }
        debug_assert!(kept.len() as u64 <= self.last, "each that is kept has a number");
    }

    /// The messages above this number, with their numbers; `None` if one of them is not kept.
    #[cfg(test)]
    pub(super) fn above(&self, number: u64) -> Option<impl Iterator<Item = (u64, &Arc<Message>)>> {
        let kept = self.kept.iter().flat_map(|kept| kept.iter());
        let before = self.last - kept.clone().count() as u64;
        (before..=self.last)
            .contains(&number)
            .then(|| (before + 1..).zip(kept).skip_while(move |(each, _)| *each <= number))
    }
}

/// Messages that a session keeps after they were written. None: nobody can ask for them yet.
pub(super) const LENGTH_MAX: usize = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageId;
    use crate::push::Payload;

    fn messages(ids: &[&str]) -> Vec<Arc<Message>> {
        let message = |id: &&str| Message::new(MessageId::new(*id).unwrap(), false, Payload::text("x"));
        ids.iter().map(|id| Arc::new(message(id))).collect()
    }

    fn above(log: &Log, number: u64) -> Option<Vec<(u64, String)>> {
        let above = log.above(number)?;
        Some(above.map(|(number, message)| (number, message.id.to_string())).collect())
    }

    #[test]
    fn messages_are_numbered_in_the_order_of_writing_and_the_last_are_kept() {
        let mut log = Log::default();
        log.append(messages(&["a"]).iter(), 2);
        assert_eq!(above(&log, 0), Some(vec![(1, "a".to_owned())]));
        log.append(messages(&["b", "c"]).iter(), 2);
        assert_eq!(above(&log, 1), Some(vec![(2, "b".to_owned()), (3, "c".to_owned())]));
        assert_eq!(above(&log, 2), Some(vec![(3, "c".to_owned())]));
        assert_eq!(above(&log, 3), Some(vec![]));
    }

    #[test]
    fn what_is_not_kept_and_what_was_never_written_is_not_invented() {
        let mut log = Log::default();
        assert_eq!(above(&log, 0), Some(vec![]), "nothing was written");
        log.append(messages(&["a", "b", "c"]).iter(), 2);
        assert_eq!(above(&log, 0), None, "a is gone");
        assert_eq!(above(&log, 4), None, "there is no such number");
    }

    #[test]
    fn a_log_without_length_counts_and_holds_no_message() {
        let mut log = Log::default();
        let written = messages(&["a", "b"]);
        log.append(written.iter(), 0);
        assert!(log.kept.is_none() && written.iter().all(|message| Arc::strong_count(message) == 1));
        assert_eq!((above(&log, 2), above(&log, 1)), (Some(vec![]), None));
        assert_eq!(size_of::<Log>(), 16);
    }
}
