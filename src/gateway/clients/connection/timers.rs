//! What a connection does because time has passed.
//!
//! One timer of the runtime serves all: it goes off at the earliest of what is due, and whatever is
//! due by then is looked at.

use std::ops::ControlFlow;

use tokio::time::Instant;

use super::Connection;
use super::ending::Ending;
use crate::gateway::clients::transport::Transport;
use crate::limits;
use crate::push::Outcome;
use crate::receipt::Reply;
use crate::session::{CloseReason, Pulse};

impl<T: Transport> Connection<T> {
    /// Looks at everything that may be due.
    pub(super) fn tick(&mut self) -> ControlFlow<Ending> {
        let now = Instant::now();
        if self.due.abort.is_some_and(|at| now >= at) {
            return ControlFlow::Break(Ending::Broken);
        }
        if self.due.stall.is_some_and(|at| now >= at) {
            self.stalled();
            self.due.stall = Some(now + limits::BUFFERED_AFTER);
        }
        if self.due.expiry.is_some_and(|at| now >= at) {
            self.due.expiry = self.expiry(now);
        }
        if now >= self.due.heartbeat {
            self.due.heartbeat = self.pulse();
        }
        ControlFlow::Continue(())
    }

    /// The line, or the handler that has not let the client in yet, holds everything up.
    fn stalled(&mut self) {
        for outgoing in &mut self.batch {
            std::mem::replace(&mut outgoing.reply, Reply::answered()).answer(Outcome::Buffered);
        }
        self.session.answer_buffered();
        // A client that takes bytes, however slowly, is alive, although its answers are not read.
        if self.transport.bytes_left() < self.stalled_bytes {
            self.stalled_bytes = self.transport.bytes_left();
            self.heartbeat.heard(self.opened.elapsed());
        }
    }

    /// Asks the heartbeat what to do, and says when to ask again.
    fn pulse(&mut self) -> Instant {
        if let Some(at) = self.session.written_directly() {
            self.heartbeat.message(at.saturating_duration_since(self.opened));
        }
        loop {
            match self.heartbeat.poll(&self.setup.parts.timers, self.opened.elapsed()) {
                Pulse::Wait(at) => return self.opened + at,
                // Behind messages that do not get out a probe says nothing, and before the client is
                // let in nothing is written. But the client must be asked before it is given up.
                Pulse::Ping if !self.transport.is_written() || !self.admitted => self.probe_owed = true,
                Pulse::Ping => self.transport.queue_probe(),
                ended @ (Pulse::Dead | Pulse::Idle) => {
                    let dead = ended == Pulse::Dead;
                    self.session.close(if dead { CloseReason::HeartbeatTimeout } else { CloseReason::Idle });
                    return Instant::now() + self.setup.parts.timers.timeout;
                }
            }
        }
    }
}
