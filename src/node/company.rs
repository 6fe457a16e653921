//! Whom a node misses, which decides how often it looks for peers.

use std::time::Duration;

use crate::limits;

/// Whom a node misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Company {
    /// It hears all that it knows.
    Complete,
    /// Somebody.
    Partial,
    /// Everybody: it hears nobody.
    None,
}

impl Company {
    /// Time between two look-ups.
    pub(super) fn lookup_every(self) -> Duration {
        match self {
            Company::Complete => limits::LOOKUP_WELL_EVERY,
            Company::Partial => limits::LOOKUP_MISSING_EVERY,
            Company::None => limits::LOOKUP_ALONE_EVERY,
        }
    }
}
