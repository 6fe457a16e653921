//! A client's session, from its admission to its end, whatever it is connected by.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Instrument, debug, debug_span};

use crate::gateway::clients::admission::Admitted;
use crate::gateway::clients::connection::{Connection, Setup};
use crate::gateway::clients::transport::Transport;
use crate::gateway::parts::{ConnectionParts, Gateway};
use crate::limits;
use crate::metrics::label::{Refused, Task};
use crate::session::Session;

/// Runs the session of a client that is let in, in a task of its own. `opened` gives the line to the client once its
/// answer is out, or nothing if the client is gone by then. `slot` is held until the line is closed.
pub(super) fn spawn<T: Transport + 'static>(
    gateway: &Arc<Gateway>,
    admitted: Admitted,
    opened: impl Future<Output = Option<T>> + Send + 'static,
    slot: impl Send + 'static,
) {
    // A root of its own: the request is over long before the session.
    let span = debug_span!(parent: None, "session", key = %admitted.lease.session().names());
    let parts = Arc::clone(&gateway.connections);
    let session = run(parts, admitted, opened, slot).instrument(span);
    tokio::spawn(gateway.vitals.contained(Task::Session, session));
}

/// Runs the session to its end. Dropping the lease, wherever that happens, releases the key.
///
/// Each session costs the bytes of this future. An `async fn` would keep its arguments beside what they are taken
/// apart into, and what is over before the session is at rest, or begins after it, is in boxes.
fn run<T: Transport + 'static>(
    parts: Arc<ConnectionParts>,
    admitted: Admitted,
    opened: impl Future<Output = Option<T>> + Send + 'static,
    slot: impl Send + 'static,
) -> impl Future<Output = ()> + Send {
    let Admitted { lease, asked, dialect, expires_unix_ms } = admitted;
    let session = Arc::clone(lease.session());
    let opened = Box::pin(async move {
        // Until the answer is out nobody watches the session; a client that does not take it must not
        // hold the key.
        let opened = until_taken(opened, &session, asked);
        (timeout(limits::HTTP_HEADER_TIMEOUT, opened).await, session)
    });
    async move {
        let (Ok(Some(transport)), session) = opened.await else {
            parts.metrics.connections_refused.with(Refused::UpgradeFailed).increment(1);
            debug!("the client left during the handshake, or does not take the answer");
            return;
        };
        let setup = Setup { dialect, expires_unix_ms, parts };
        let mut connection = Connection::new(transport, session, setup);
        connection.run().await;
        // The client was told, as far as it listens. Its key is free before its line is gone.
        drop(lease);
        Box::pin(connection.end()).await;
        drop(slot);
    }
}

/// Waits for the line. Messages that come before it wait in the session, and whoever pushed them learns
/// that as if the line had taken nothing.
async fn until_taken<T>(opened: impl Future<Output = T>, session: &Session, since: Instant) -> T {
    let mut opened = pin!(opened);
    let mut stalled = since + limits::BUFFERED_AFTER;
    loop {
        match timeout_at(stalled, &mut opened).await {
            Ok(line) => return line,
            Err(_) => session.answer_buffered(),
        }
        stalled += limits::BUFFERED_AFTER / 2;
    }
}

/// Bytes of the future of a session by the transport `T`.
#[cfg(test)]
pub(super) fn future_bytes<T: Transport + 'static>() -> usize {
    fn bytes<F>(_: impl FnOnce(Arc<ConnectionParts>, Admitted) -> F) -> usize {
        size_of::<F>()
    }
    bytes(|parts, admitted| run(parts, admitted, std::future::pending::<Option<T>>(), ()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::sleep;

    use super::*;
    use crate::id::{DeviceId, MessageId, SessionKey, Stamp, UserId};
    use crate::key::KeyHasher;
    use crate::push::{Message, Outcome, Payload};
    use crate::receipt::{Answer, replying};
    use crate::session::OutboxLimits;

    fn push(session: &Session) -> oneshot::Receiver<(Answer, Instant)> {
        let (done, answer) = oneshot::channel();
        let reply = replying(move |answer| drop(done.send((answer, Instant::now()))));
        let message = Message::new(MessageId::new("m").unwrap(), false, Payload::text("x"));
        session.offer(&Arc::new(message), reply);
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_waits_for_the_upgrade_is_buffered_within_the_push_timeout() {
        let names = SessionKey::new(UserId::new("u").unwrap(), DeviceId::new("d").unwrap());
        let key = KeyHasher::new(&[0; 32]).key(&names);
        let limits = OutboxLimits { messages_max: 9, bytes_max: 99 };
        let session = Session::new(names, key, Stamp::from_raw(1), None, limits, None);
        let claimed = Instant::now();
        // The previous owner is asked to let go.
        let first = push(&session);
        sleep(limits::TAKEOVER_TIMEOUT).await;
        let mut late = None;
        let upgraded = async {
            sleep(Duration::from_millis(800)).await;
            late = Some(push(&session));
            sleep(Duration::from_secs(3)).await;
        };
        until_taken(upgraded, &session, claimed).await;
        let late = late.expect("it was pushed meanwhile");
        let buffered = Answer::Outcomes(vec![Outcome::Buffered]);
        let after = |millis| claimed + Duration::from_millis(millis);
        assert_eq!(first.await, Ok((buffered.clone(), after(1_000))));
        assert_eq!(late.await, Ok((buffered, after(1_500))), "it came after 1.3 s");
        assert_eq!(session.waiting(), 2, "they are still to be written");
    }
}
