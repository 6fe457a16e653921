//! What a publisher asks for beside the delivery of its message.

/// What the publisher of a message asks for beside its delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long the message may wait for a client that is away, in seconds; 0: not at all. `None`: for as long as its session
    /// is kept.
    pub ttl: Option<u32>,
    /// Whether the publisher waits until the client has acknowledged it.
    pub acked: bool,
}

impl Terms {
    /// Whether the publisher waits for more than that the owner has written it.
    pub(crate) fn waits(self) -> bool {
        self.acked || self.stored()
    }

    /// Whether the publisher waits until other nodes hold it.
    pub(crate) fn stored(self) -> bool {
        false
    }
}
