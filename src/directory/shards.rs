//! Where the rows of the directory are.

use crate::directory::View;
use crate::key::UserHash;

/// Where the rows are kept: one view for each part of the users.
pub trait Shards {
    /// Works with the view that holds `user`.
    fn with<R>(&mut self, user: UserHash, work: impl FnOnce(&mut View) -> R) -> R;
}
