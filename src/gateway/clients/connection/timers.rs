//! What a connection does because time has passed.
//!
//! One timer of the runtime serves all: it goes off at the earliest of what is due, and whatever is
//! due by then is looked at.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::Connection;
use super::ending::Ending;
use crate::gateway::clients::transport::ws::frames::FrameKind;
use crate::limits;
use crate::push::Outcome;
use crate::receipt::Reply;
use crate::session::{CloseReason, Pulse};

/// When to look at what.
pub(super) struct Due {
    pub(super) heartbeat: Instant,
    /// The token expires.
    pub(super) expiry: Option<Instant>,
    /// Those who wait are told that their messages are buffered.
    pub(super) stall: Option<Instant>,
    /// The session is closing and the socket has to take the rest by then.
    pub(super) abort: Option<Instant>,
}

impl Due {
    /// What is due when a connection opens: everything is looked at once.
    pub(super) fn new(opened: Instant, expires: bool) -> Self {
        let stall = Some(opened + limits::BUFFERED_AFTER);
        Self { heartbeat: opened, expiry: expires.then_some(opened), stall, abort: None }
    }

    /// The earliest of them.
    pub(super) fn next(&self) -> Instant {
        [self.expiry, self.stall, self.abort].into_iter().flatten().fold(self.heartbeat, Instant::min)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
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

    /// The socket, or the handler that has not let the client in yet, holds everything up.
    fn stalled(&mut self) {
        for outgoing in &mut self.batch {
            std::mem::replace(&mut outgoing.reply, Reply::settled()).answer(Outcome::Buffered);
        }
        self.session.answer_buffered();
        // A client that takes bytes, however slowly, is alive, although its pongs are not read.
        if self.frames.bytes() < self.stalled_bytes {
            self.stalled_bytes = self.frames.bytes();
            self.heartbeat.heard(self.opened.elapsed());
        }
    }

    /// Ends the session if the token has expired; else says when to look again.
    fn expiry(&self, now: Instant) -> Option<Instant> {
        let left = self.setup.expires_unix_ms?.saturating_sub(self.setup.clock.now_ms());
        if left == 0 {
            self.session.close(CloseReason::TokenExpired);
            return None;
        }
        // The wall clock may be set: no wait is longer than that.
        Some(now + Duration::from_millis(left).min(EXPIRY_CHECK_MAX))
    }

    /// Writes the ping that was due while there was something else to write.
    pub(super) fn pay_ping(&mut self) {
        if std::mem::take(&mut self.ping_owed) {
            self.frames.push(FrameKind::Ping, Bytes::new());
        }
    }

    /// Asks the heartbeat what to do, and says when to ask again.
    fn pulse(&mut self) -> Instant {
        if let Some(at) = self.session.written_directly() {
            self.heartbeat.message(at.saturating_duration_since(self.opened));
        }
        loop {
            match self.heartbeat.poll(self.opened.elapsed()) {
                Pulse::Wait(at) => return self.opened + at,
                // Behind frames that do not get out a ping says nothing, and before the client is
                // let in nothing is written. But the client must be asked before it is given up.
                Pulse::Ping if !self.frames.is_empty() || !self.admitted => self.ping_owed = true,
                Pulse::Ping => self.frames.push(FrameKind::Ping, Bytes::new()),
                ended @ (Pulse::Dead | Pulse::Idle) => {
                    let dead = ended == Pulse::Dead;
                    self.session.close(if dead { CloseReason::HeartbeatTimeout } else { CloseReason::Idle });
                    return Instant::now() + self.setup.timers.timeout;
                }
            }
        }
    }
}

/// Moves the timer to an earlier moment. One that goes off too early finds nothing due and is set
/// anew, which is cheaper than to move it for every batch.
pub(super) fn arm(timer: &mut Pin<Box<Sleep>>, next: Instant) {
    if timer.is_elapsed() || next < timer.deadline() {
        timer.as_mut().reset(next);
    }
}

/// How long at most the wall clock is not looked at for a token's expiry. Guess.
const EXPIRY_CHECK_MAX: Duration = Duration::from_secs(60);
