//! Where the records of a section are kept: a section itself only knows what they add up to.

use crate::section::Record;

/// The records of one copy of a section.
pub(crate) trait Store<R: Record> {
    /// Puts a record in, and returns the one whose place it takes.
    fn put(&mut self, record: R) -> Option<R>;

    /// Removes the record of `key`, and returns it.
    fn take(&mut self, key: &R::Key) -> Option<R>;
}
