//! What a connection waits for, while it speaks HTTP.
//!
//! ```text
//!   Hello ──► Shaking ──► Head ──► Working ◄──► Body
//!   (TLS)                            └──► Answered
//! ```

use std::sync::atomic::{AtomicU8, Ordering};

/// For whom the connection waits, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// The caller has to begin a TLS handshake.
    Hello,
    /// It has to go on with it.
    Shaking,
    /// It has to send the head of a request.
    Head,
    /// The node works on its request.
    Working,
    /// It has to send more of a body.
    Body,
    /// It has to read its answer.
    Answered,
}

impl Stage {
    /// All of them.
    pub(super) const ALL: [Self; 6] =
        [Self::Hello, Self::Shaking, Self::Head, Self::Working, Self::Body, Self::Answered];

    /// Whether bytes of the caller are no reason to wait for more of them: they may be anything.
    pub(super) fn is_strange(self) -> bool {
        matches!(self, Self::Hello | Self::Head)
    }
}

/// The stage of one connection, which its task sets.
#[derive(Debug)]
pub(super) struct Now(AtomicU8);

impl Default for Now {
    fn default() -> Self {
        Self(AtomicU8::new(Stage::Head as u8))
    }
}

impl Now {
    pub(super) fn get(&self) -> Stage {
        Stage::ALL[usize::from(self.0.load(Ordering::Relaxed))]
    }

    pub(super) fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }
}
