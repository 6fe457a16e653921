//! The end of a connection: what the client is told, and what the handler is.

use futures_util::future::join;
use tokio::time::timeout;
use tracing::debug;

use super::Connection;
use super::ending::Ending;
use super::handling::{Handled, Unhandled};
use crate::gateway::clients::dialect::Close;
use crate::gateway::clients::transport::Transport;
use crate::limits;
use crate::metrics::label::{Label as _, Task};

impl<T: Transport> Connection<T> {
    /// Ends the session, whatever it was that ended the connection, and tells the client.
    pub(super) async fn finish(&mut self, ending: Ending) {
        self.session.close(ending.reason()); // The first reason stands.
        let reason = self.session.closing().unwrap_or_else(|| ending.reason());
        self.setup.parts.metrics.connections_closed.with(reason.label()).increment(1);
        self.code = match &ending {
            Ending::Fail(code, _) | Ending::Refuse(code, _) => *code,
            Ending::Close(reason) => reason.code(),
            Ending::Answer { .. } | Ending::Broken => reason.code(),
        };
        debug!(reason = reason.as_str(), code = self.code, "the session ends");
        let whole = ending == Ending::Broken || self.finish_begun().await;
        let ending = if whole { ending } else { Ending::Broken };
        // What does not get out in time does not get out: the line is about to be dropped.
        let close = match ending {
            Ending::Close(reason) => self.setup.dialect.close(&reason),
            Ending::Fail(code, what) => Close { code, text: what.as_str().to_owned() },
            Ending::Answer { .. } | Ending::Refuse(..) => {
                let _ = timeout(limits::CLOSE_TIMEOUT, self.transport.answer_close()).await;
                return;
            }
            Ending::Broken => {
                self.broken = true;
                return;
            }
        };
        let _ = timeout(limits::CLOSE_TIMEOUT, self.transport.close(&close)).await;
    }

    /// Writes the rest of what another has begun, so that a close does not end up in the middle of it. Returns
    /// whether the line took it, if there was any.
    async fn finish_begun(&mut self) -> bool {
        let Some(begun) = self.session.reclaim() else { return true };
        self.take_over(begun);
        let written = timeout(limits::CLOSE_TIMEOUT, self.transport.write()).await;
        let written = matches!(written, Ok(Ok(())));
        if written {
            self.wrote();
        }
        self.interrupt();
        written
    }

    /// Lets the client close its side and tells the handler. The session must be over by now.
    pub(in crate::gateway::clients) async fn end(mut self) {
        let handling = self.handling.take();
        let parts = &self.setup.parts;
        let info = parts.info(&self.session);
        let mut admitted = self.admitted;
        let code = self.code;
        let goodbye = async {
            if let Some(call) = handling {
                match call.await {
                    // Before the client was let in this is `on_connect`, whose answer counts.
                    Ok(Handled::Returned) => admitted = true,
                    Ok(Handled::Checked(_)) => {}
                    Err(Unhandled::Refused(_)) => admitted = false,
                    Err(Unhandled::Panicked(problem)) => parts.vitals.count(Task::Handler, &problem),
                }
            }
            if admitted {
                let goodbye = parts.handler.on_disconnect(&parts.handle, &info, code);
                let _ = parts.vitals.contained(Task::Handler, goodbye).await;
            }
        };
        let moves = self.session.closing().is_some_and(|reason| reason.moves());
        let silence = async {
            let answered = timeout(limits::CLOSE_TIMEOUT, self.transport.linger(self.broken)).await;
            // A client that closed by itself says so with another code.
            if moves && answered == Ok(Some(code)) {
                parts.fights.displaced(self.session.names());
            }
        };
        join(silence, goodbye).await;
    }
}
