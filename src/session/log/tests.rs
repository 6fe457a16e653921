//! What is kept reaches the client once, in order, or the client is told that it does not; whatever happens on the way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::time::Instant;

use super::*;
use crate::id::MessageId;
use crate::metrics::Metrics;
use crate::position::Position;
use crate::push::{Payload, Terms, Wait};
use crate::receipt::{Answer, replying};
use crate::session::copied::Copied;
use crate::session::store::StoreBounds;
use crate::session::tail::{Tail, TailEntry, TailPart, TailRun};

mod crossing;
mod foreign;
mod laws;

const OUTBOX: OutboxLimits = OutboxLimits { messages_max: 2, bytes_max: 100 };
const BOUNDS: StoreBounds = StoreBounds { messages_max: 3, bytes_max: 100, node_bytes_max: 1 << 20 };

fn store(bounds: StoreBounds) -> Arc<Store> {
    Arc::new(Store::new(bounds, Arc::new(Metrics::new())))
}

fn segment(stamp: u64) -> Segment {
    Segment { stamp: Stamp::from_raw(stamp), writer: Writer::from_raw(1) }
}

fn at(stamp: u64, number: u64) -> Position {
    Position { segment: segment(stamp), number }
}

/// A log of the segment with that stamp.
fn log(stamp: u64, store: &Arc<Store>) -> Log {
    returning(stamp, &[], store)
}

fn returning(stamp: u64, after: &[Position], store: &Arc<Store>) -> Log {
    let token = after.last().map(|position| position.segment);
    let returns = Returning { token, after: after.to_vec() };
    let mut log = Log::new((Stamp::from_raw(stamp), Writer::from_raw(1)), 60, returns, Arc::clone(store));
    if after.is_empty() {
        open(&mut log);
    }
    log
}

/// The client is the session, and is told so. Returns what.
fn open(log: &mut Log) -> ResumedAs {
    log.open(&Earlier::default());
    log.welcome().state
}

fn message(id: &str, terms: Terms) -> Arc<Message> {
    Arc::new(Message::new(MessageId::new(id).unwrap(), true, Payload::text("x")).on(terms))
}

fn accept(log: &mut Log, id: &str, now: Instant) -> Result<(), NoRoom> {
    accept_on(log, id, Terms::default(), now, None)
}

fn accept_on(
    log: &mut Log,
    id: &str,
    terms: Terms,
    now: Instant,
    reply: Option<Reply>,
) -> Result<(), NoRoom> {
    let message = message(id, terms);
    log.reserve(&message, OUTBOX, now)?;
    log.append(message, now, Stage::Waits, reply);
    Ok(())
}

/// What is written next, as text.
fn written(log: &mut Log, now: Instant) -> Vec<String> {
    let (batch, _) = log.take(99, now);
    let said = batch.iter().map(said).collect();
    log.written(batch);
    said
}

fn said(outgoing: &Outgoing) -> String {
    match &outgoing.what {
        What::Message(message, Some(place)) if place.is_older => {
            format!("{}:{} {}", place.segment.stamp.raw(), place.number, message.id)
        }
        What::Message(message, place) => format!("{} {}", place.expect("it has a number").number, message.id),
        What::Notice(notice) => match &**notice {
            Notice::Gap { segment, from, to, why } => {
                format!("gap {}:{from}-{to} {}", segment.stamp.raw(), why.as_str())
            }
            Notice::Closed(position) => {
                format!("closed {}:{}", position.segment.stamp.raw(), position.number)
            }
            Notice::Resumed(resumed) => format!("{:?}", resumed.state),
        },
    }
}

/// The client has acknowledged no message under its id.
fn nothing(_: &Message) -> bool {
    false
}

fn hand_over(from: &mut Log, to: &mut Log, now: Instant) {
    hand_over_beside(&nothing, from, to, now);
}

/// The same to a client that has acknowledged some of it under its id.
fn hand_over_beside(has_it: &dyn Fn(&Message) -> bool, from: &mut Log, to: &mut Log, now: Instant) {
    for part in from.tail(now).parts(2, 1 << 10) {
        assert_eq!(to.adopt(&part, now, has_it, &mut Vec::new()), Outcome::Delivered);
    }
}

#[test]
fn messages_are_numbered_and_forgotten_once_they_are_acknowledged() {
    let (store, now) = (store(BOUNDS), Instant::now());
    let mut log = log(5, &store);
    assert!(log.unacked.is_none(), "a session that owes nothing has no memory for it");
    for id in ["a", "b", "c"] {
        accept(&mut log, id, now).unwrap();
    }
    assert_eq!(written(&mut log, now), ["1 a", "2 b", "3 c"]);
    log.acknowledge(None, 2).unwrap();
    assert_eq!(log.len(), 1);
    accept(&mut log, "d", now).unwrap();
    assert_eq!(written(&mut log, now), ["4 d"]);
    log.acknowledge(Some(segment(5)), 4).unwrap();
    assert!(log.unacked.is_none());
    assert_eq!((store.used(Origin::Here), store.used(Origin::Elsewhere)), (0, 0));
    accept(&mut log, "e", now).unwrap();
    assert_eq!(written(&mut log, now), ["5 e"]);
    drop(log);
    assert_eq!(store.used(Origin::Here), 0, "what nobody acknowledges is given back, too");
}

#[test]
fn an_idle_session_pays_a_few_words() {
    assert!(size_of::<Log>() <= 64, "{} bytes", size_of::<Log>());
}

#[test]
fn nothing_is_acknowledged_that_was_not_sent() {
    let now = Instant::now();
    let mut log = log(5, &store(BOUNDS));
    assert_eq!(log.acknowledge(None, 1).err(), Some(AckAhead));
    accept(&mut log, "a", now).unwrap();
    assert_eq!(log.acknowledge(None, 1).err(), Some(AckAhead), "it waits");
    assert_eq!(written(&mut log, now), ["1 a"]);
    for segment in [None, Some(segment(5))] {
        assert_eq!(log.acknowledge(segment, 2).err(), Some(AckAhead));
    }
    for stamp in [4, 6] {
        assert!(log.acknowledge(Some(segment(stamp)), 7).is_ok(), "of what is not here nothing is owed");
    }
    assert!(log.acknowledge(None, 0).is_ok() && log.len() == 1);
}

#[test]
fn no_more_than_the_window_is_on_its_way() {
    let now = Instant::now();
    let wide = StoreBounds { messages_max: 2 * limits::WINDOW, ..BOUNDS };
    let mut log = log(5, &store(StoreBounds { bytes_max: 1 << 20, ..wide }));
    for number in 1..=limits::WINDOW + 2 {
        accept(&mut log, &number.to_string(), now).unwrap();
    }
    let take = |log: &mut Log| log.take(usize::MAX, now).0.len();
    assert_eq!((take(&mut log), take(&mut log)), (limits::WINDOW, 0));
    assert!(!log.is_clear());
    log.acknowledge(None, 1).unwrap();
    assert_eq!((take(&mut log), take(&mut log)), (1, 0));
}

#[test]
fn beyond_its_bounds_nothing_is_taken_and_what_was_stays() {
    let now = Instant::now();
    let mut log = log(5, &store(BOUNDS));
    for id in ["a", "b", "c", "d", "e"] {
        accept(&mut log, id, now).unwrap();
    }
    assert_eq!(accept(&mut log, "f", now), Err(NoRoom::Session));
    assert_eq!(written(&mut log, now).len(), 5);
    let node = StoreBounds { node_bytes_max: cost(1), ..BOUNDS };
    let mut log = self::log(5, &store(node));
    accept(&mut log, "a", now).unwrap();
    assert_eq!(accept(&mut log, "b", now), Err(NoRoom::Node));
    assert_eq!(written(&mut log, now), ["1 a"]);
}

#[test]
fn what_a_broken_connection_leaves_is_written_again_by_the_next_one() {
    let now = Instant::now();
    let mut log = log(5, &store(BOUNDS));
    for id in ["a", "b", "c"] {
        accept(&mut log, id, now).unwrap();
    }
    assert_eq!(written(&mut log, now).len(), 3);
    log.acknowledge(None, 1).unwrap();
    log.rewind(now);
    assert_eq!(written(&mut log, now), ["2 b", "3 c"]);
}

#[test]
fn those_who_wait_learn_how_far_their_message_came() {
    let now = Instant::now();
    let mut log = log(5, &store(BOUNDS));
    let answers = Arc::new(Mutex::new(BTreeMap::new()));
    let push = |log: &mut Log, id: &str, wait: Wait| {
        let (answers, key) = (Arc::clone(&answers), id.to_owned());
        let reply = replying(move |answer| drop(answers.lock().unwrap().insert(key, answer)));
        accept_on(log, id, Terms { ttl: None, wait }, now, Some(reply)).unwrap();
    };
    for (id, wait) in [("a", Wait::Acked), ("b", Wait::Acked), ("c", Wait::Receipt), ("d", Wait::Receipt)] {
        push(&mut log, id, wait);
    }
    let (batch, _) = log.take(3, now);
    for (reply, outcome) in log.written(batch) {
        reply.answer(outcome);
    }
    log.acknowledge(None, 1).unwrap().replies.into_iter().for_each(|reply| reply.answer(Outcome::Acked));
    assert!(log.begin_timing() && !log.begin_timing());
    let later = now + limits::BUFFERED_AFTER;
    let (overdue, next) = log.overdue(later, Standing::There);
    assert_eq!(next, None);
    overdue.into_iter().for_each(|(reply, outcome)| reply.answer(outcome));
    log.detach_all(false, |_| Outcome::Queued).into_iter().for_each(|(reply, outcome)| reply.answer(outcome));
    let one = |outcome| Answer::Outcomes(vec![outcome]);
    let expected = [
        ("a", Outcome::Acked),
        ("b", Outcome::Delivered),
        ("c", Outcome::Delivered),
        ("d", Outcome::Buffered),
    ];
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(id, outcome)| (id.to_owned(), one(outcome))).collect();
    assert_eq!(*answers.lock().unwrap(), expected);
}

#[test]
fn a_message_whose_time_is_over_leaves_a_gap() {
    let now = Instant::now();
    let store = store(BOUNDS);
    let mut log = log(5, &store);
    let terms = |ttl| Terms { ttl: Some(ttl), ..Terms::default() };
    accept(&mut log, "a", now).unwrap();
    accept_on(&mut log, "b", terms(1), now, None).unwrap();
    accept_on(&mut log, "c", terms(1), now, None).unwrap();
    accept_on(&mut log, "d", terms(9), now, None).unwrap();
    let later = now + Duration::from_secs(1);
    assert_eq!(log.waiting(), 4);
    assert_eq!(written(&mut log, later), ["1 a", "gap 5:2-3 expired", "4 d"]);
    assert_eq!((log.waiting(), log.len()), (0, 2), "a gap that was told is no message that waits");
    assert_eq!(store.used(Origin::Here), 2 * cost(1));
    log.acknowledge(None, 4).unwrap();
    assert!(log.unacked.is_none());
    accept_on(&mut log, "e", terms(0), now, None).unwrap();
    assert_eq!(written(&mut log, later), ["5 e"], "it is written where it need not wait");
    accept_on(&mut log, "f", terms(0), now, None).unwrap();
    log.rewind(now);
    assert_eq!(written(&mut log, now), ["gap 5:5-6 expired"], "and waits for no other connection");
}

#[test]
fn the_next_owner_writes_what_its_client_lacks_before_its_own_messages() {
    let (store, now) = (store(BOUNDS), Instant::now());
    let mut first = log(5, &store);
    for id in ["a", "b", "c", "d"] {
        accept(&mut first, id, now).unwrap();
    }
    assert_eq!(written(&mut first, now).len(), 4);
    first.acknowledge(None, 1).unwrap();
    let mut second = returning(7, &[at(5, 2)], &store);
    accept(&mut second, "e", now).unwrap();
    hand_over(&mut first, &mut second, now);
    hand_over(&mut first, &mut second, now); // Its receipt was lost.
    assert_eq!(open(&mut second), ResumedAs::Complete);
    assert_eq!(written(&mut second, now), ["5:3 c", "5:4 d", "1 e"]);
    second.acknowledge(Some(segment(5)), 3).unwrap();
    assert_eq!(second.acknowledge(Some(segment(5)), 5).err(), Some(AckAhead));
    // The client has forgotten what it had, and a third owner gets what both are owed.
    let mut third = returning(8, &[at(7, 0)], &store);
    hand_over(&mut second, &mut third, now);
    assert_eq!(open(&mut third), ResumedAs::Complete);
    let expected = ["gap 5:1-3 acknowledged", "5:4 d", "7:1 e"];
    assert_eq!(written(&mut third, now), expected);
    third.acknowledge(Some(segment(5)), 4).unwrap();
    third.acknowledge(Some(segment(7)), 1).unwrap();
    assert_eq!(written(&mut third, now), ["closed 5:4", "closed 7:1"], "it may forget its positions");
    assert!(third.unacked.is_none());
    drop((first, second, third));
    assert_eq!((store.used(Origin::Here), store.used(Origin::Elsewhere)), (0, 0));
}

#[test]
fn a_client_that_lacks_nothing_is_told_where_its_segments_end() {
    let (store, now) = (store(BOUNDS), Instant::now());
    let mut first = log(5, &store);
    let mut second = returning(7, &[at(4, 9), at(5, 0)], &store);
    hand_over(&mut first, &mut second, now);
    assert_eq!(open(&mut second), ResumedAs::Pending, "of the one before it is not known");
    assert_eq!(written(&mut second, now), ["closed 5:0"]);
}

#[test]
fn what_was_acknowledged_at_another_owner_is_told_as_a_gap_before_its_segment_ends() {
    let (store, now) = (store(BOUNDS), Instant::now());
    let (mut first, mut second, mut third) = (log(5, &store), log(7, &store), log(8, &store));
    for id in ["a", "b", "c"] {
        accept(&mut first, id, now).unwrap();
    }
    // The receipt of the first hand-over is lost, so that both have the messages.
    hand_over(&mut first, &mut second, now);
    for part in first.tail(now).parts(2, 1 << 10).iter().take(1) {
        assert_eq!(third.adopt(part, now, &nothing, &mut Vec::new()), Outcome::Delivered);
    }
    let (batch, _) = third.take(1, now);
    assert_eq!(batch.iter().map(said).collect::<Vec<_>>(), ["5:1 a"], "it comes once more");
    assert_eq!(written(&mut second, now), ["5:1 a", "5:2 b", "5:3 c"]);
    second.acknowledge(Some(segment(5)), 2).unwrap();
    let early = second.tail(now);
    second.acknowledge(Some(segment(5)), 3).unwrap();
    let mut fourth = log(9, &store);
    for log in [&mut third, &mut fourth] {
        for part in early.clone().parts(9, 1 << 10) {
            assert_eq!(
                log.adopt(&TailPart { done: false, ..part }, now, &nothing, &mut Vec::new()),
                Outcome::Delivered
            );
        }
        hand_over(&mut second, log, now);
    }
    assert_eq!(written(&mut third, now), ["gap 5:2-3 acknowledged", "closed 5:3"]);
    assert_eq!(written(&mut fourth, now), ["gap 5:1-3 acknowledged", "closed 5:3"]);
    assert!(fourth.unacked.is_none() && third.len() == 0);
}

#[test]
fn a_tail_of_a_later_claim_is_delivered_acknowledged_and_handed_on_as_any_other() {
    let (store, now) = (store(BOUNDS), Instant::now());
    let (mut later, mut own) = (log(9, &store), log(7, &store));
    accept(&mut own, "a", now).unwrap();
    assert_eq!(written(&mut own, now), ["1 a"]);
    for id in ["b", "c"] {
        accept(&mut later, id, now).unwrap();
    }
    accept(&mut own, "d", now).unwrap();
    hand_over(&mut later, &mut own, now);
    assert_eq!(
        written(&mut own, now),
        ["9:1 b", "9:2 c", "2 d"],
        "behind what came before, and in its own order"
    );
    assert_eq!(own.acknowledge(Some(segment(9)), 3).err(), Some(AckAhead));
    own.acknowledge(Some(segment(9)), 1).unwrap();
    let order: Vec<_> = own.tail(now).runs.iter().map(|run| run.segment).collect();
    assert_eq!(order, [segment(7), segment(9)]);
    own.acknowledge(None, 2).unwrap();
    own.acknowledge(Some(segment(9)), 2).unwrap();
    assert_eq!(written(&mut own, now), ["closed 9:2"]);
    assert!(own.unacked.is_none());
    assert!(own.acknowledge(Some(segment(9)), 2).is_ok(), "its acknowledgement was on its way twice");
    let mut next = returning(11, &[at(9, 2), at(7, 2)], &store);
    hand_over(&mut own, &mut next, now);
    assert_eq!(open(&mut next), ResumedAs::Complete);
}

#[test]
fn a_client_that_came_back_too_early_is_told_when_the_rest_comes() {
    let (store, now) = (store(BOUNDS), Instant::now());
    let mut first = log(5, &store);
    accept(&mut first, "a", now).unwrap();
    let returns = Returning { token: Some(segment(5)), after: vec![at(5, 0)] };
    let mut second = Log::new((Stamp::from_raw(7), Writer::from_raw(1)), 60, returns, Arc::clone(&store));
    assert_eq!(second.open(&Earlier { late: true, ..Earlier::default() }), ResumedAs::Pending);
    assert_eq!(second.welcome().state, ResumedAs::Pending);
    accept(&mut second, "b", now).unwrap();
    assert_eq!(written(&mut second, now), ["1 b"]);
    assert!(second.give_up_resuming());
    assert_eq!(written(&mut second, now), ["Partial"]);
    hand_over(&mut first, &mut second, now);
    assert_eq!(written(&mut second, now), ["Complete", "5:1 a"]);
}

#[test]
fn what_comes_late_of_a_segment_that_an_earlier_session_has_sealed_is_numbered_anew_in_the_next_one() {
    let (store, now) = (store(StoreBounds { messages_max: 9, ..BOUNDS }), Instant::now());
    let (mut cut_off, mut sealing, mut next) = (log(4, &store), log(5, &store), log(6, &store));
    accept(&mut cut_off, "a", now).unwrap();
    let held = Copied { message: message("a", Terms::default()), expires: None, keep: 60, room: None };
    assert!(sealing.adopt_copied(vec![(at(4, 1), held)], &nothing).is_empty());
    sealing.sealed(&[segment(4)]);
    assert_eq!(written(&mut sealing, now), ["4:1 a"]);
    sealing.acknowledge(Some(segment(4)), 1).unwrap();
    hand_over(&mut sealing, &mut next, now);
    accept(&mut cut_off, "b", now).unwrap();
    for _ in 0..2 {
        hand_over(&mut cut_off, &mut next, now);
    }
    assert_eq!(written(&mut next, now), ["1 b"], "once, and what was there before does not come again");
    // Also once it was numbered, and at the session after that.
    let mut last = log(7, &store);
    hand_over(&mut next, &mut last, now);
    accept(&mut cut_off, "c", now).unwrap();
    hand_over(&mut cut_off, &mut last, now);
    assert_eq!(written(&mut last, now), ["6:1 b", "1 c"]);
}

#[test]
fn what_comes_late_and_was_pushed_again_meanwhile_is_written_once() {
    let (store, now) = (store(StoreBounds { messages_max: 9, ..BOUNDS }), Instant::now());
    let (mut cut_off, mut next) = (log(4, &store), log(5, &store));
    next.sealed(&[segment(4)]);
    let ttl = |seconds| Terms { ttl: Some(seconds), ..Terms::default() };
    for (id, terms) in [("acked", ttl(9)), ("owed", ttl(9)), ("shorter", ttl(9)), ("new", ttl(9))] {
        accept_on(&mut cut_off, id, terms, now, None).unwrap();
    }
    for (id, terms) in [("owed", Terms::default()), ("shorter", ttl(1))] {
        accept_on(&mut next, id, terms, now, None).unwrap();
    }
    let other = Arc::new(Message::new(MessageId::new("other").unwrap(), true, Payload::text("y")));
    next.reserve(&other, OUTBOX, now).unwrap();
    next.append(other, now, Stage::Waits, None);
    accept(&mut cut_off, "other", now).unwrap();
    for _ in 0..2 {
        hand_over_beside(&|message| message.id.as_str() == "acked", &mut cut_off, &mut next, now);
    }
    let expected = ["1 owed", "2 shorter", "3 other", "4 shorter", "5 new", "6 other"];
    assert_eq!(
        written(&mut next, now),
        expected,
        "what waits for less long, or is another one, is no repetition"
    );
}

#[test]
fn a_tail_travels_in_parts_that_follow_each_other() {
    let entry = |id: &str, bytes| TailEntry {
        message: Ok(Arc::new(Message::new(
            MessageId::new(id).unwrap(),
            false,
            Payload::binary(Bytes::from(vec![0; bytes])),
        ))),
        left: None,
    };
    let entries = vec![entry("a", 1), entry("b", 1), entry("c", 50), entry("d", 1)];
    let run = TailRun { segment: segment(5), acked: 3, entries };
    let tail = Tail {
        of: segment(7),
        inherited: vec![segment(4)],
        sealed: vec![at(4, 9)],
        runs: vec![run.clone(), TailRun { segment: segment(6), ..run }],
        recent: Vec::new(),
        attributes: None,
    };
    let parts = tail.parts(3, 10);
    let shape: Vec<_> = parts
        .iter()
        .map(|part| {
            let run = |run: &TailRun| (run.segment.stamp.raw(), run.acked, run.entries.len());
            (part.runs.iter().map(run).collect::<Vec<_>>(), part.done)
        })
        .collect();
    let expected = [
        (vec![(5, 3, 2)], false),
        (vec![(5, 5, 1)], false),
        (vec![(5, 6, 1), (6, 3, 2)], false),
        (vec![(6, 5, 1)], false),
        (vec![(6, 6, 1)], true),
    ];
    assert_eq!(shape, expected);
    let sealed: Vec<_> = parts.iter().map(|part| part.sealed.len()).collect();
    assert_eq!(sealed, [0, 0, 0, 0, 1]);
}

#[test]
fn what_an_earlier_connection_brought_is_acknowledged_before_it_is_written_again() {
    let (store, now) = (store(BOUNDS), Instant::now());
    let mut first = log(5, &store);
    for id in ["a", "b"] {
        accept(&mut first, id, now).unwrap();
    }
    assert_eq!(written(&mut first, now).len(), 2);
    let mut second = log(7, &store);
    hand_over(&mut first, &mut second, now);
    second.acknowledge(Some(segment(5)), 1).unwrap();
    assert_eq!(second.acknowledge(Some(segment(5)), 3).err(), Some(AckAhead));
    assert_eq!(written(&mut second, now), ["5:2 b"]);
}
