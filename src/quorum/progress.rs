//! How far an owner has come with what it has written, and with its members.

use std::collections::BTreeSet;

use crate::id::Stamp;
use crate::key::Key;
use crate::position::Position;
use crate::quorum::group::{Boot, Config};

/// A configuration that is to be in effect.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) config: Config,
    /// Members may have accepted it.
    pub(super) proposed: bool,
    /// Who has accepted it.
    pub(super) accepted: BTreeSet<Boot>,
}

/// What members are to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) key: Key,
    pub(super) claim: Stamp,
    /// Where a message stands. Without it: what the session follows.
    pub(super) at: Option<Position>,
    /// Members had it for an earlier claim already.
    pub(super) again: bool,
}

/// How far a boot has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stream {
    /// Up to where it has the log.
    pub(super) acked: u64,
    /// The place up to which it is to be given all. What it says of an earlier opening does not count.
    pub(super) begun: u64,
    /// The place up to which it was given all, once it was opened.
    pub(super) opened: Option<u64>,
    /// It has refused something since, and so has not all.
    pub(super) lacks: bool,
}
