//! What waits for a client that is away is called queued once other nodes hold it, where there are such.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::position::Position;
use crate::session::copied::Copied;

/// Other nodes, which hold what they are told to, or are not there.
#[derive(Default)]
struct Others {
    are_there: AtomicBool,
    held: Mutex<Vec<u64>>,
}

impl Copying for Others {
    fn is_made(&self) -> bool {
        true
    }

    fn is_possible(&self, _: Key) -> bool {
        self.are_there.load(Ordering::Relaxed)
    }

    fn append(&self, _: Key, _: Stamp, at: Position, _: Copied) {
        self.held.lock().unwrap().push(at.number);
    }

    fn trim(&self, _: Key, _: Position) {}

    fn end(&self, _: Key, _: Stamp) {}

    fn look_later(&self, _: Key, _: Stamp) {}
}

/// A session of a client that is there, and others that are.
fn copied() -> (Arc<Session>, Arc<Others>) {
    let others = Arc::new(Others { are_there: AtomicBool::new(true), ..Others::default() });
    let session = kept();
    let copying: Weak<dyn Copying> = Arc::downgrade(&(Arc::clone(&others) as Arc<dyn Copying>));
    session.lock().kept().unwrap().store().copy_by(copying);
    session.open(&Earlier::default());
    session.welcome();
    (Arc::new(session), others)
}

fn goes(session: &Session) {
    session.close(CloseReason::ClientGone);
    session.abandon();
}

fn stored(session: &Session, number: u64) {
    let segment = Segment { stamp: Stamp::from_raw(2), writer: Writer::from_raw(1) };
    session.stored(Position { segment, number });
}

#[tokio::test]
async fn a_push_to_a_client_that_is_away_waits_until_others_hold_it() {
    let (session, others) = copied();
    goes(&session);
    let mut waits = offer(&session, "a");
    assert_eq!(others.held.lock().unwrap()[..], [1], "it is copied at once");
    assert_eq!((&mut waits).now_or_never(), None);
    stored(&session, 1);
    assert_eq!(waits.await, Ok(Outcome::Queued));
    assert_eq!(offer(&session, "a").await, Ok(Outcome::Queued), "and so it is called when it comes again");
}

#[tokio::test]
async fn a_push_that_waits_when_its_client_goes_waits_on_until_others_hold_it() {
    let (session, others) = copied();
    let mut waits = offer(&session, "a");
    goes(&session);
    assert_eq!(others.held.lock().unwrap()[..], [1]);
    assert_eq!((&mut waits).now_or_never(), None);
    stored(&session, 1);
    assert_eq!(waits.await, Ok(Outcome::Queued));
}

#[tokio::test(start_paused = true)]
async fn what_others_do_not_hold_in_time_is_buffered() {
    let (session, _others) = copied();
    goes(&session);
    let mut waits = offer(&session, "a");
    assert_eq!(offer(&session, "a").await, Ok(Outcome::Buffered), "it comes again before they hold it");
    let timing = session.time_acks().expect("nobody looks after it yet");
    timing.await;
    assert_eq!((&mut waits).now_or_never(), Some(Ok(Outcome::Buffered)));
}

#[tokio::test]
async fn a_session_that_goes_on_elsewhere_calls_queued_what_others_hold() {
    let (session, _others) = copied();
    let (waits, held) = (offer(&session, "a"), offer(&session, "b"));
    session.close(CloseReason::ClientGone);
    stored(&session, 2);
    let (owner, stamp) = (NodeName::new("b").unwrap(), Stamp::from_raw(3));
    session.close(CloseReason::Superseded { owner, stamp });
    session.abandon();
    assert_eq!((held.await, waits.await), (Ok(Outcome::Queued), Ok(Outcome::Queued)));
    let (session, _others) = copied();
    let waits = offer(&session, "a");
    let (owner, stamp) = (NodeName::new("b").unwrap(), Stamp::from_raw(3));
    session.close(CloseReason::Superseded { owner, stamp });
    assert_eq!(waits.await, Ok(Outcome::Buffered), "its next owner may not get it");
}

#[tokio::test]
async fn where_nobody_is_there_to_hold_it_it_is_queued_at_once() {
    let (session, others) = copied();
    others.are_there.store(false, Ordering::Relaxed);
    let waits = offer(&session, "a");
    goes(&session);
    assert_eq!((waits.await, offer(&session, "b").await), (Ok(Outcome::Queued), Ok(Outcome::Queued)));
}
