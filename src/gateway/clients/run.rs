//! A client's session, from its admission to its end, whatever it is connected by.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Instrument, debug, debug_span};

use crate::gateway::clients::admission::Admitted;
use crate::gateway::clients::connection::{Connection, Setup};
use crate::gateway::clients::transport::Transport;
use crate::gateway::parts::Gateway;
use crate::handler::SessionInfo;
use crate::limits;
use crate::metrics::label::{Refused, Task};
use crate::session::{HeartbeatTimers, Session};

/// Runs the session of a client that is let in, in a task of its own. `opened` gives the line to the client once its
/// answer is out, or nothing if the client is gone by then. `slot` is held until the line is closed.
pub(super) fn spawn<T: Transport>(
    gateway: &Arc<Gateway>,
    admitted: Admitted,
    opened: impl Future<Output = Option<T>> + Send + 'static,
    slot: impl Send + 'static,
) {
    // A root of its own: the request is over long before the session.
    let span = debug_span!(parent: None, "session", key = %admitted.lease.session().names());
    let vitals = gateway.vitals.clone();
    let gateway = Arc::clone(gateway);
    // Boxed, so that a session has no room for its handshake after that.
    let opened = Box::pin(opened);
    let session = async move {
        run(&gateway, admitted, opened).await;
        drop(slot);
    };
    tokio::spawn(vitals.contained(Task::Session, session.instrument(span)));
}

/// Runs the session to its end. Dropping the lease, wherever that happens, releases the key.
async fn run<T: Transport>(
    gateway: &Gateway,
    admitted: Admitted,
    opened: impl Future<Output = Option<T>> + Send,
) {
    let Admitted { lease, asked, dialect, expires_unix_ms } = admitted;
    // Until the answer is out nobody watches the session; a client that does not take it must not
    // hold the key.
    let opened = until_taken(opened, lease.session(), asked);
    let Ok(Some(transport)) = timeout(limits::HTTP_HEADER_TIMEOUT, opened).await else {
        gateway.metrics.connections_refused.with(Refused::UpgradeFailed).increment(1);
        debug!("the client left during the handshake, or does not take the answer");
        return;
    };
    let session = Arc::clone(lease.session());
    let timers = &gateway.config.timers;
    let setup = Setup {
        info: SessionInfo { key: session.names().clone(), node: gateway.config.name.clone() },
        dialect,
        resume: Arc::clone(&gateway.resume),
        expires_unix_ms,
        timers: HeartbeatTimers {
            interval: timers.heartbeat_interval,
            timeout: timers.heartbeat_timeout,
            idle: timers.idle_timeout,
        },
        handler: Arc::clone(&gateway.handler),
        node: gateway.handle.clone(),
        clock: Arc::clone(&gateway.clock),
        metrics: Arc::clone(&gateway.metrics),
        vitals: gateway.vitals.clone(),
    };
    let mut connection = Connection::new(transport, session, setup);
    connection.run().await;
    // The client was told, as far as it listens. Its key is free before its line is gone.
    drop(lease);
    // Boxed, so that a session has no room for its end before that.
    Box::pin(connection.end()).await;
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
        let session = Session::new(names, key, Stamp::from_raw(1), None, limits);
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
