//! Messages written to a client's line by whoever brings them.

use std::sync::Arc;

use crate::gateway::clients::dialect::Dialect;
use crate::gateway::clients::transport::AtOnce;
use crate::metrics::Metrics;
use crate::metrics::label::Writer;
use crate::push::Message;
use crate::session::{DirectWriter, Place, Taken};

/// The line of one client, and how it wants its messages.
pub(super) struct Direct<L> {
    line: L,
    dialect: &'static dyn Dialect,
    metrics: Arc<Metrics>,
}

impl<L> Direct<L> {
    /// Writes to `line` in this dialect.
    pub(super) fn new(line: L, dialect: &'static dyn Dialect, metrics: Arc<Metrics>) -> Self {
        Self { line, dialect, metrics }
    }
}

impl<L: AtOnce> DirectWriter for Direct<L> {
    fn write(&self, message: &Message, place: Option<&Place>) -> Taken {
        let taken = self.line.write(self.dialect.message(message, place));
        // Of one that is begun the task counts the rest.
        if taken == Taken::All {
            self.metrics.messages_written.with(Writer::AtOnce).increment(1);
        }
        taken
    }
}
