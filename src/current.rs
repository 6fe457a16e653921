//! A value that many read, and that is replaced as a whole while they do.
//!
//! Who has read it goes on with what it was.

use std::sync::{Arc, PoisonError, RwLock};

/// The value that is in effect.
#[derive(Debug)]
pub(crate) struct Current<T>(RwLock<Arc<T>>);

impl<T> Current<T> {
    /// The first one.
    pub(crate) fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    /// What is in effect now.
    pub(crate) fn get(&self) -> Arc<T> {
        // A panic elsewhere cannot have left it half replaced.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this one is.
    pub(crate) fn replace(&self, value: T) {
        let value = Arc::new(value);
        let before = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), value);
        drop(before); // Nobody waits for that.
    }
}
