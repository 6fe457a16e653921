//! What a client sends, and what that means.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::time::Instant;

use super::Connection;
use super::ending::Ending;
use super::handling::{Handled, call};
use crate::gateway::clients::dialect::{Acked, Heard};
use crate::gateway::clients::transport::{Incoming, Transport};
use crate::metrics::label::ClientError;
use crate::push::Payload;
use crate::session::CloseReason;

impl<T: Transport> Connection<T> {
    /// Something came of the client, or nothing will any more.
    pub(super) fn incoming(&mut self, incoming: Incoming) -> ControlFlow<Ending> {
        self.heartbeat.heard(self.opened.elapsed());
        match incoming {
            Incoming::Message(payload) => self.message(payload),
            Incoming::Alive => {}
            Incoming::End(end) => {
                let ending = Ending::from(end);
                if let Some(code) = ending.error_code() {
                    self.setup.parts.metrics.client_errors.with(code).increment(1);
                }
                self.session.close(ending.reason());
                return ControlFlow::Break(ending);
            }
        }
        ControlFlow::Continue(())
    }

    fn message(&mut self, payload: Payload) {
        self.heartbeat.message(self.opened.elapsed());
        self.setup.parts.metrics.client_messages.increment(1);
        if let Some(rate) = self.setup.parts.message_rate
            && rate.take(&mut self.messages, Instant::now()).is_err()
        {
            self.setup.parts.metrics.client_errors.with(ClientError::TooManyMessages).increment(1);
            self.session.close(CloseReason::Policy("too many messages"));
            return;
        }
        match self.setup.dialect.heard(payload) {
            Heard::Message(payload) => self.handle(payload),
            Heard::Ack(acked) => {
                self.setup.parts.metrics.client_acks.increment(1);
                if let Some(Acked { segment, number }) = acked
                    && self.session.acknowledge(segment, number).is_err()
                {
                    return self.nonsense(ClientError::AckAhead, self.setup.dialect.ack_ahead());
                }
            }
            // What comes of it is not known yet, and whether it is nonsense.
            Heard::Token(token) => return self.check(token),
            Heard::Bye => _ = self.session.close(CloseReason::Bye),
            Heard::Question { answer } => self.transport.queue(answer),
            Heard::Nonsense { code, answer } => return self.nonsense(code, Some(answer)),
            Heard::Refused { code, reason } => {
                self.setup.parts.metrics.client_errors.with(code).increment(1);
                self.session.close(CloseReason::Policy(reason));
                return;
            }
        }
        self.understood();
    }

    fn handle(&mut self, payload: Payload) {
        debug_assert!(self.handling.is_none(), "nothing is read while a handler runs");
        let parts = Arc::clone(&self.setup.parts);
        let info = parts.info(&self.session);
        self.handling = Some(call(async move {
            parts.handler.on_message(&parts.handle, &info, payload).await;
            Ok(Handled::Returned)
        }));
    }
}
