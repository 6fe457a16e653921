//! The loop of a connection: what it waits for, and what follows.

use std::io;
use std::ops::ControlFlow;

use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::debug;

use super::due::arm;
use super::ending::Ending;
use super::handling::{Handled, Unhandled, finished};
use super::{Connection, Setup};
use crate::gateway::clients::transport::{Incoming, Transport};
use crate::limits;
use crate::metrics::label::{Task, Writer};
use crate::session::{CloseReason, Outgoing, What, Work};

/// What happened.
enum Event {
    /// The line has taken what was queued, or it is broken.
    Wrote(io::Result<()>),
    Work(Work),
    Incoming(Incoming),
    /// The handler returned, or a token was checked.
    Handled(Result<Handled, Unhandled>),
    /// The session is closing while something is being written, or before the client is let in.
    Closing,
    Timer,
}

impl<T: Transport> Connection<T> {
    /// Runs until the session is over and the client is told, as far as it listens.
    pub(in crate::gateway::clients) async fn run(&mut self) {
        let ending = loop {
            let event = if !self.transport.is_written() {
                self.writing().await
            } else if self.admitted {
                self.idle().await
            } else {
                self.entering().await
            };
            if let ControlFlow::Break(ending) = self.on(event) {
                break ending;
            }
        };
        self.interrupt();
        // Boxed, and so is the wait for a line that is full: no session has room for what it seldom needs.
        Box::pin(self.finish(ending)).await;
        self.session.abandon();
    }

    /// Waits until the handler lets the client in. Nothing is read or written before.
    async fn entering(&mut self) -> Event {
        arm(&mut self.timer, self.due.next());
        tokio::select! {
            biased; // A handler that has decided comes before a close: it may have let the client in.
            result = finished(&mut self.handling) => Event::Handled(result),
            () = self.session.closed() => Event::Closing,
            () = &mut self.timer => Event::Timer,
        }
    }

    /// Waits while there is nothing to write.
    async fn idle(&mut self) -> Event {
        arm(&mut self.timer, self.due.next());
        let reads = self.handling.is_none();
        self.lent = true;
        // Not biased: neither a stream of pushes nor a stream of client messages starves the other.
        tokio::select! {
            work = self.session.work(limits::OUTBOX_BATCH_MAX) => Event::Work(work),
            incoming = self.transport.incoming(), if reads => Event::Incoming(incoming),
            result = finished(&mut self.handling) => Event::Handled(result),
            () = &mut self.timer => Event::Timer,
        }
    }

    /// Waits while the line takes what is to be written.
    async fn writing(&mut self) -> Event {
        if self.lent {
            self.lent = false;
            if let Some(begun) = self.session.reclaim() {
                self.take_over(begun);
            }
        }
        // Mostly the line takes all at once, and no timer has to be touched.
        if let Some(result) = self.transport.write().now_or_never() {
            return Event::Wrote(result);
        }
        Box::pin(self.stuck()).await
    }

    /// The same, when the line did not take it at once.
    async fn stuck(&mut self) -> Event {
        if self.due.stall.is_none() {
            self.due.stall = Some(Instant::now() + limits::BUFFERED_AFTER);
            self.stalled_bytes = self.transport.bytes_left();
        }
        arm(&mut self.timer, self.due.next());
        let closing = self.due.abort.is_some();
        tokio::select! {
            result = self.transport.write() => Event::Wrote(result),
            () = self.session.closed(), if !closing => Event::Closing,
            result = finished(&mut self.handling) => Event::Handled(result),
            () = &mut self.timer => Event::Timer,
        }
    }

    fn on(&mut self, event: Event) -> ControlFlow<Ending> {
        match event {
            Event::Wrote(Ok(())) => self.wrote(),
            Event::Wrote(Err(error)) => {
                debug!(%error, "the line broke while it was written");
                return ControlFlow::Break(Ending::Broken);
            }
            Event::Work(Work::Write(batch)) => self.write(batch),
            Event::Work(Work::Finish(begun)) => self.take_over(begun),
            Event::Work(Work::Close(reason)) => return ControlFlow::Break(Ending::Close(reason)),
            Event::Incoming(incoming) => return self.incoming(incoming),
            Event::Handled(result) => self.handled(result),
            Event::Closing => return self.closing(),
            Event::Timer => return self.tick(),
        }
        ControlFlow::Continue(())
    }

    fn write(&mut self, batch: Vec<Outgoing>) {
        debug_assert!(self.batch.is_empty(), "one batch is written at a time");
        let dialect = self.setup.dialect;
        for outgoing in &batch {
            let frame = match &outgoing.what {
                What::Message(message, place) => Some(dialect.message(message, place.as_ref())),
                What::Notice(notice) => dialect.notice(notice),
            };
            self.tell(frame);
        }
        self.batch = batch;
        self.writer = Writer::Task;
        self.lent = false;
    }

    /// The handler returned: from `on_connect` the first time, from `on_message` later. Or a token was checked.
    fn handled(&mut self, result: Result<Handled, Unhandled>) {
        self.handling = None;
        match result {
            Ok(Handled::Checked(token)) => self.checked(*token),
            Ok(Handled::Returned) if self.admitted => {}
            Ok(Handled::Returned) => {
                self.admitted = true;
                self.due.stall = None;
                self.setup.parts.metrics.connections_opened.increment(1);
                let Setup { dialect, parts, .. } = &self.setup;
                let info = parts.info(&self.session);
                let welcome = dialect.welcome(&self.session, &info, &parts.resume);
                self.tell(welcome);
                self.pay_probe();
            }
            Err(Unhandled::Refused(reason)) => _ = self.session.close(CloseReason::Refused(reason)),
            Err(Unhandled::Panicked(problem)) => {
                self.setup.parts.vitals.count(Task::Handler, &problem);
                self.session.close(CloseReason::Failed);
            }
        }
    }

    /// The session is closing while there is something to write.
    fn closing(&mut self) -> ControlFlow<Ending> {
        let reason = self.session.closing().unwrap_or(CloseReason::ClientGone);
        if !self.admitted && self.transport.is_written() {
            return ControlFlow::Break(Ending::Close(reason));
        }
        self.due.abort = Some(Instant::now() + limits::CLOSE_TIMEOUT);
        if !reason.flushes() {
            // Nobody waits any longer. What is queued still goes out, if the client takes it: the
            // close cannot overtake a message that is half written.
            self.interrupt();
        }
        ControlFlow::Continue(())
    }
}
