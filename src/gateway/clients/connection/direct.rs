//! Messages written to a client's line by whoever brings them.

use std::sync::Arc;

use crate::gateway::clients::dialect::Dialect;
use crate::gateway::clients::transport::ws::line::DirectLine;
use crate::metrics::Metrics;
use crate::metrics::label::Writer;
use crate::push::{Message, Payload};
use crate::session::{DirectWriter, Taken};

/// The line of one client, and how it wants its messages.
pub(super) struct Direct {
    line: Arc<dyn DirectLine>,
    dialect: &'static dyn Dialect,
    metrics: Arc<Metrics>,
}

impl Direct {
    /// Writes to `line` in this dialect.
    pub(super) fn new(
        line: Arc<dyn DirectLine>,
        dialect: &'static dyn Dialect,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { line, dialect, metrics }
    }
}

impl DirectWriter for Direct {
    fn write(&self, message: &Message) -> Taken {
        let Payload { kind, bytes } = self.dialect.message(message);
        let taken = self.line.write(kind.into(), bytes);
        // Of one that is begun the task counts the rest.
        if taken == Taken::All {
            self.metrics.messages_written.with(Writer::AtOnce).increment(1);
        }
        taken
    }
}
