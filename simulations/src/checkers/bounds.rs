//! Bounds of time that several checkers allow.

use pushmesh::limits;

use crate::plan::LATENCY_MS_MAX;

/// The longest that it may take to close a connection that takes nothing, and its way, in milliseconds.
pub(super) const CLOSE_MS_MAX: u64 = limits::CLOSE_TIMEOUT.as_millis() as u64 + LATENCY_MS_MAX;
/// The longest that a claim stands which its own node knows to have lost, in milliseconds. Arithmetic: the socket does not
/// take the close, the client does not close in turn, and the claim lingers.
pub(super) const LETS_GO_MS: u64 =
    2 * limits::CLOSE_TIMEOUT.as_millis() as u64 + limits::RELEASE_LINGER.as_millis() as u64;
