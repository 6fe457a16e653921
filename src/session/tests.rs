//! A message is written by whoever brings it only while the connection's task rests and nothing waits.

use std::collections::VecDeque;
use std::task::Poll;
use std::time::Duration;

use futures_util::{FutureExt, poll};
use tokio::sync::oneshot;
use tokio::time::advance;

use super::*;
use crate::id::{DeviceId, MessageId, NodeName, UserId};
use crate::key::KeyHasher;
use crate::limits;
use crate::metrics::Metrics;
use crate::metrics::label::ResumedAs;
use crate::position::{Segment, Writer};
use crate::push::Payload;
use crate::receipt::{Answer, replying};
use crate::session::outbox::What;
use crate::session::tail::{TailEntry, TailRun};

mod queued;

/// A socket that takes as much as it was told.
#[derive(Default)]
struct Socket {
    takes: Mutex<VecDeque<Taken>>,
    seen: Mutex<Vec<String>>,
}

impl DirectWriter for Arc<Socket> {
    fn write(&self, message: &Message, _: Option<&Place>) -> Taken {
        self.seen.lock().unwrap().push(message.id.to_string());
        self.takes.lock().unwrap().pop_front().unwrap_or(Taken::All)
    }
}

impl Socket {
    fn takes<const N: usize>(takes: [Taken; N]) -> Arc<Self> {
        Arc::new(Self { takes: Mutex::new(takes.into()), ..Self::default() })
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn session(socket: &Arc<Socket>) -> Session {
    let session = new(Stamp::from_raw(1), None);
    session.lend(Box::new(Arc::clone(socket)));
    session
}

/// One that is kept for a client that has named an earlier one.
fn kept() -> Session {
    kept_within(StoreBounds { messages_max: 3, bytes_max: 100, node_bytes_max: 1 << 10 })
}

fn kept_within(bounds: StoreBounds) -> Session {
    let (stamp, writer) = (Stamp::from_raw(2), Writer::from_raw(1));
    let store = Arc::new(Store::new(bounds, Arc::new(Metrics::new())));
    let token = Some(Segment { stamp: Stamp::from_raw(1), writer });
    let log = Log::new((stamp, writer), 60, Returning { token, after: Vec::new() }, store);
    new(stamp, Some(log))
}

fn new(stamp: Stamp, kept: Option<Log>) -> Session {
    let names = SessionKey::new(UserId::new("u").unwrap(), DeviceId::new("d").unwrap());
    let key = KeyHasher::new(&[0; 32]).key(&names);
    let limits = OutboxLimits { messages_max: 3, bytes_max: 100 };
    Session::new(names, key, stamp, None, limits, kept)
}

fn offer(session: &Session, id: &str) -> oneshot::Receiver<Outcome> {
    let (done, outcome) = oneshot::channel();
    let reply = replying(move |answer| {
        let Answer::Outcomes(mut outcomes) = answer else { panic!("one outcome was asked for") };
        let _ = done.send(outcomes.remove(0));
    });
    let id = MessageId::new(id).unwrap();
    let message = Message::new(id, true, Payload::text("x"));
    session.offer(&Arc::new(message), reply);
    outcome
}

/// What the task does next, if there is something.
fn work(session: &Session) -> Option<Work> {
    session.work(9).now_or_never()
}

fn written(work: Option<Work>) -> Vec<Outgoing> {
    let Some(Work::Write(batch)) = work else { panic!("there is something to write") };
    batch
}

#[tokio::test(start_paused = true)]
async fn a_message_is_written_at_once_while_the_task_rests_and_never_before() {
    let socket = Socket::takes([]);
    let session = session(&socket);
    let early = offer(&session, "a");
    assert!(socket.seen().is_empty(), "the task has not begun to wait");
    session.written(written(work(&session)));
    assert_eq!(early.await, Ok(Outcome::Delivered));
    assert!(work(&session).is_none(), "it rests from now on");
    assert_eq!(offer(&session, "b").now_or_never(), Some(Ok(Outcome::Delivered)));
    assert_eq!(socket.seen(), ["b"]);
    assert_eq!(session.written_directly(), Some(Instant::now()));
    assert_eq!(session.reclaim().map(|begun| begun.message().unwrap().id.to_string()), None);
    advance(Duration::from_secs(1)).await;
    let _later = offer(&session, "c");
    assert_eq!(socket.seen(), ["b"], "the task has taken its socket back");
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_the_tasks_and_so_is_all_that_follows_what_waits() {
    let socket = Socket::takes([]);
    let session = session(&socket);
    assert!(work(&session).is_none());
    let answers = ["a", "b"].map(|id| offer(&session, id));
    advance(Duration::from_secs(1)).await;
    let last = offer(&session, "c");
    assert_eq!(socket.seen(), ["a"]);
    let batch = written(work(&session));
    assert_eq!(batch.iter().map(|o| o.message().unwrap().id.to_string()).collect::<Vec<_>>(), ["b", "c"]);
    session.written(batch);
    for outcome in answers.into_iter().chain([last]) {
        assert_eq!(outcome.await, Ok(Outcome::Delivered));
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_leaves_the_message_to_the_task() {
    let socket = Socket::takes([Taken::Nothing]);
    let session = session(&socket);
    assert!(work(&session).is_none());
    let outcome = offer(&session, "a");
    session.written(written(work(&session)));
    assert_eq!(outcome.await, Ok(Outcome::Delivered));
}

#[tokio::test(start_paused = true)]
async fn what_is_begun_is_finished_by_the_task_before_anything_else() {
    let socket = Socket::takes([Taken::Part]);
    let session = session(&socket);
    assert!(work(&session).is_none());
    let begun = offer(&session, "a");
    advance(Duration::from_secs(1)).await;
    let next = offer(&session, "b");
    assert_eq!(socket.seen(), ["a"]);
    assert_eq!(offer(&session, "a").await, Ok(Outcome::Buffered), "a retry of what is being written");
    let Some(Work::Finish(outgoing)) = work(&session) else { panic!("a message is begun") };
    assert_eq!(outgoing.message().unwrap().id.to_string(), "a");
    session.written(vec![outgoing]);
    assert_eq!(begun.await, Ok(Outcome::Delivered));
    assert_eq!(offer(&session, "a").await, Ok(Outcome::Delivered), "a retry of what is written");
    session.written(written(work(&session)));
    assert_eq!(next.await, Ok(Outcome::Delivered));
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_and_never_finished_is_interrupted() {
    let socket = Socket::takes([Taken::Part]);
    let session = session(&socket);
    assert!(work(&session).is_none());
    let begun = offer(&session, "a");
    session.close(CloseReason::ClientGone);
    session.abandon();
    assert_eq!(begun.await, Ok(Outcome::Interrupted), "the client may or may not have it");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_closes_is_not_written_to_any_more() {
    let socket = Socket::takes([]);
    let session = session(&socket);
    assert!(work(&session).is_none());
    session.close(CloseReason::Kicked);
    assert_eq!(offer(&session, "a").await, Ok(Outcome::NoSession));
    assert!(socket.seen().is_empty());
    assert_eq!(Arc::strong_count(&socket), 1, "nor is its socket kept");
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_what_was_written_directly_is_not_written_again() {
    let socket = Socket::takes([]);
    let session = session(&socket);
    assert!(work(&session).is_none());
    for _ in 0..2 {
        assert_eq!(offer(&session, "a").await, Ok(Outcome::Delivered));
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(socket.seen(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn no_end_of_a_session_calls_a_message_delivered_that_was_not_written() {
    let (owner, stamp) = (NodeName::new("n2").unwrap(), Stamp::from_raw(2));
    let moved = Outcome::Moved { owner: owner.clone(), stamp };
    let ends = [
        (CloseReason::ClientGone, Outcome::NoSession),
        (CloseReason::Idle, Outcome::NoSession),
        (CloseReason::Policy("x"), Outcome::NoSession),
        (CloseReason::HeartbeatTimeout, Outcome::NoSession),
        (CloseReason::TooBig, Outcome::NoSession),
        (CloseReason::Restarting { retry_ms: 1 }, Outcome::NoSession),
        (CloseReason::TryLater { retry_ms: 1 }, Outcome::NoSession),
        (CloseReason::Superseded { owner, stamp }, moved),
        (CloseReason::Excluded, Outcome::NoSession),
        (CloseReason::Kicked, Outcome::NoSession),
        (CloseReason::TokenExpired { retry_ms: 1 }, Outcome::NoSession),
        (CloseReason::SlowConsumer, Outcome::Overloaded),
        (CloseReason::Failed, Outcome::NoSession),
    ];
    for (reason, outcome) in ends {
        let session = session(&Socket::takes([]));
        let mut waiting = offer(&session, "a");
        session.close(reason.clone());
        assert_eq!(offer(&session, "b").await, Ok(outcome.clone()), "{reason:?}");
        if reason.flushes() {
            assert_eq!((&mut waiting).now_or_never(), None, "{reason:?}: it may still be written");
            session.abandon();
            assert_eq!(waiting.await, Ok(Outcome::NoSession), "{reason:?}");
        } else {
            assert_eq!(waiting.await, Ok(outcome), "{reason:?}");
        }
    }
}

#[tokio::test]
async fn the_end_is_heard_by_all_who_wait_for_it_and_by_who_asks_later() {
    let session = session(&Socket::takes([]));
    let (mut one, mut other) = (Box::pin(session.closed()), Box::pin(session.closed()));
    assert!(poll!(&mut one).is_pending() && poll!(&mut other).is_pending());
    assert!(session.close(CloseReason::ClientGone));
    assert!(poll!(&mut one).is_ready() && poll!(&mut other).is_ready());
    assert!(session.closed().now_or_never().is_some());
}

#[test]
fn a_session_that_goes_on_elsewhere_before_its_welcome_does_not_say_that_nothing_is_left() {
    let welcome = |session: &Session| session.welcome().map(|welcome| welcome.resumed.state);
    let session = kept();
    session.open(&Earlier::default());
    assert_eq!(welcome(&session), Some(ResumedAs::None));
    let session = kept();
    let (owner, stamp) = (NodeName::new("b").unwrap(), Stamp::from_raw(3));
    session.close(CloseReason::Superseded { owner, stamp });
    session.handed_over();
    session.open(&Earlier::default());
    assert_eq!(welcome(&session), Some(ResumedAs::Pending));
}

#[tokio::test]
async fn a_session_that_has_let_go_numbers_nothing_more_and_each_message_is_decided_once() {
    let session = kept();
    session.open(&Earlier::default());
    session.welcome();
    let has_come = offer(&session, "a");
    session.written(written(work(&session)));
    let waits = offer(&session, "b");
    let (owner, stamp) = (NodeName::new("b").unwrap(), Stamp::from_raw(3));
    session.close(CloseReason::Superseded { owner: owner.clone(), stamp });
    let follows = offer(&session, "c");
    assert!(session.acknowledge(None, 1).is_ok(), "it was on its way");
    let tail = session.tail().unwrap();
    let ids = |run: &TailRun| {
        run.entries.iter().map(|entry| entry.message.clone().unwrap().id.to_string()).collect()
    };
    let held: Vec<(u64, Vec<String>)> = tail.runs.iter().map(|run| (run.acked, ids(run))).collect();
    assert_eq!(held, [(0, vec!["a".to_owned(), "b".to_owned()])]);
    let answers = (has_come.await, waits.await, follows.await);
    assert_eq!(answers, (Ok(Outcome::Delivered), Ok(Outcome::Queued), Ok(Outcome::Moved { owner, stamp })));
    session.handed_over();
    assert_eq!(session.tail(), None, "and it is handed over once");
}

#[tokio::test]
async fn what_the_client_has_acknowledged_does_not_come_again_late_under_the_same_id() {
    let session = kept();
    let earlier = Segment { stamp: Stamp::from_raw(1), writer: Writer::from_raw(1) };
    session.sealed(&[earlier]);
    session.open(&Earlier::default());
    session.welcome();
    let acked = offer(&session, "a");
    session.written(written(work(&session)));
    assert_eq!(acked.await, Ok(Outcome::Delivered));
    session.acknowledge(None, 1).unwrap();
    let entry = |id: &str| {
        let message = Message::new(MessageId::new(id).unwrap(), true, Payload::text("x"));
        TailEntry { message: Ok(Arc::new(message)), left: None }
    };
    let runs = vec![TailRun { segment: earlier, acked: 0, entries: vec![entry("a"), entry("b")] }];
    let (inherited, sealed, recent) = Default::default();
    let part =
        TailPart { of: earlier, index: 0, inherited, sealed, runs, recent, attributes: None, done: true };
    assert_eq!(session.adopt(&part), Outcome::Delivered);
    let batch = written(work(&session));
    let ids = batch.iter().filter_map(|outgoing| match &outgoing.what {
        What::Message(message, _) => Some(message.id.as_str()),
        What::Notice(_) => None,
    });
    assert_eq!(ids.collect::<Vec<_>>(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_at_rest_is_woken_by_the_acknowledgement_that_opens_the_window() {
    let bounds = StoreBounds { messages_max: limits::WINDOW, bytes_max: 1 << 10, node_bytes_max: 1 << 20 };
    let session = kept_within(bounds);
    let offered: Vec<_> = (0..=limits::WINDOW).map(|index| offer(&session, &format!("m{index}"))).collect();
    let mut on_way = 0;
    while let Some(work) = work(&session) {
        on_way += written(Some(work)).len();
    }
    assert_eq!(on_way, limits::WINDOW, "one waits for the window");
    let mut next = pin!(session.work(9));
    assert!(poll!(&mut next).is_pending());
    assert!(session.acknowledge(None, 1).is_ok());
    let Poll::Ready(Work::Write(batch)) = poll!(&mut next) else { panic!("there is something to write") };
    assert_eq!((batch.len(), offered.len()), (1, limits::WINDOW + 1));
}
