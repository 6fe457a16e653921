//! The outbox keeps its bounds, its order and its promises to callers.

use std::sync::Mutex;

use super::*;
use crate::id::{MessageId, NodeName, Stamp};
use crate::push::Payload;
use crate::receipt::{Answer, replying};

const LIMITS: OutboxLimits = OutboxLimits { messages_max: 3, bytes_max: 10 };

struct Caller(Arc<Mutex<Option<Outcome>>>);

impl Caller {
    fn answer(&self) -> Option<Outcome> {
        self.0.lock().unwrap().clone()
    }
}

fn outgoing(id: &str, idempotent: bool, len: usize) -> (Outgoing, Caller) {
    let slot = Arc::new(Mutex::new(None));
    let inner = Arc::clone(&slot);
    let reply = replying(move |answer| {
        let Answer::Outcomes(mut outcomes) = answer else { panic!("outcomes were asked for") };
        *inner.lock().unwrap() = outcomes.pop();
    });
    let id = MessageId::new(id).unwrap();
    let message = Message::new(id, idempotent, Payload::text("x".repeat(len)));
    (Outgoing::new(Arc::new(message), reply), Caller(slot))
}

fn offer(outbox: &mut Outbox, outgoing: Outgoing) -> Offered {
    let What::Message(message, _) = outgoing.what else { panic!("it is a message") };
    outbox.offer(&message, outgoing.reply)
}

fn queue(outbox: &mut Outbox, id: &str, len: usize) -> Caller {
    let (message, caller) = outgoing(id, false, len);
    assert!(matches!(offer(outbox, message), Offered::Queued { .. }));
    caller
}

#[test]
fn messages_leave_in_the_order_they_came() {
    let mut outbox = Outbox::new(LIMITS);
    for id in ["a", "b", "c"] {
        queue(&mut outbox, id, 1);
    }
    let ids: Vec<_> =
        outbox.take(2).iter().chain(&outbox.take(2)).map(|o| o.message().unwrap().id.to_string()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[test]
fn a_message_beyond_either_bound_is_refused() {
    let mut outbox = Outbox::new(LIMITS);
    for id in ["a", "b", "c"] {
        queue(&mut outbox, id, 1);
    }
    assert!(matches!(offer(&mut outbox, outgoing("d", false, 1).0), Offered::Full(_)));
    let mut outbox = Outbox::new(LIMITS);
    queue(&mut outbox, "a", 6);
    assert!(matches!(offer(&mut outbox, outgoing("b", false, 5).0), Offered::Full(_)));
    assert!(matches!(offer(&mut outbox, outgoing("c", false, 4).0), Offered::Queued { .. }));
}

#[test]
fn the_first_message_fits_whatever_its_size() {
    let mut outbox = Outbox::new(LIMITS);
    queue(&mut outbox, "a", 100);
    assert_eq!(outbox.take(1).len(), 1);
    assert_eq!(outbox.bytes, 0);
}

#[test]
fn what_is_being_written_counts_until_it_is_written() {
    let mut outbox = Outbox::new(LIMITS);
    for id in ["a", "b", "c"] {
        queue(&mut outbox, id, 1);
    }
    let batch = outbox.take(2);
    assert!(
        matches!(offer(&mut outbox, outgoing("d", false, 1).0), Offered::Full(_)),
        "three messages are held"
    );
    outbox.written(&batch);
    queue(&mut outbox, "d", 1);
    assert_eq!(outbox.len(), 2);

    let mut outbox = Outbox::new(LIMITS);
    queue(&mut outbox, "a", 6);
    let batch = outbox.take(1);
    assert!(matches!(offer(&mut outbox, outgoing("b", false, 5).0), Offered::Full(_)), "eleven bytes");
    outbox.written(&batch);
    queue(&mut outbox, "b", 5);

    let mut outbox = Outbox::new(LIMITS);
    let (begun, _caller) = outgoing("a", false, 6);
    outbox.begin(begun.message().unwrap());
    assert!(
        matches!(offer(&mut outbox, outgoing("b", false, 5).0), Offered::Full(_)),
        "a part of it is written"
    );
    outbox.written(&[begun]);
    queue(&mut outbox, "b", 5);
}

#[test]
fn a_batch_is_bounded_in_bytes_too() {
    let mut outbox = Outbox::new(OutboxLimits { messages_max: 9, bytes_max: usize::MAX });
    let half = limits::OUTBOX_BATCH_BYTES_MAX / 2;
    for (id, len) in [("a", half), ("b", half), ("c", 1), ("d", 3 * half), ("e", 1)] {
        queue(&mut outbox, id, len);
    }
    let mut batches = Vec::new();
    for _ in 0..3 {
        let batch = outbox.take(9);
        batches.push(
            batch.iter().map(|outgoing| outgoing.message().unwrap().id.to_string()).collect::<String>(),
        );
        outbox.written(&batch);
    }
    assert_eq!(batches, ["ab", "cd", "e"]);
}

#[test]
fn what_waits_is_in_memory_of_its_own() {
    let buffer = bytes::Bytes::from(vec![b'x'; 64 << 10]);
    let mut outbox = Outbox::new(OutboxLimits { messages_max: 9, bytes_max: 1_000 });
    for at in 0..3 {
        let (Outgoing { reply, .. }, _caller) = outgoing("a", false, 0);
        let payload = Payload { kind: crate::push::PayloadKind::Text, bytes: buffer.slice(at..at + 100) };
        let message = Arc::new(Message::slice(MessageId::new("a").unwrap(), false, payload));
        assert!(matches!(offer(&mut outbox, Outgoing::new(message, reply)), Offered::Queued { .. }));
    }
    assert!(buffer.is_unique(), "the buffer that they were read into is free");
}

#[test]
fn a_retry_is_answered_without_a_second_delivery() {
    let mut outbox = Outbox::new(LIMITS);
    assert!(matches!(offer(&mut outbox, outgoing("a", true, 1).0), Offered::Queued { .. }));
    assert!(matches!(offer(&mut outbox, outgoing("a", true, 1).0), Offered::Refused(_, Outcome::Buffered)));
    let batch = outbox.take(1);
    assert!(matches!(offer(&mut outbox, outgoing("a", true, 1).0), Offered::Refused(_, Outcome::Buffered)));
    outbox.written(&batch);
    assert!(matches!(offer(&mut outbox, outgoing("a", true, 1).0), Offered::Refused(_, Outcome::Delivered)));
}

#[test]
fn an_id_that_another_message_has_is_refused_while_that_waits_is_written_and_was() {
    let mut outbox = Outbox::new(LIMITS);
    let refused = |outbox: &mut Outbox| {
        let other = outgoing("a", true, 2).0;
        assert!(!outbox.is_clear_for(other.message().unwrap()), "it may not be written at once either");
        matches!(offer(outbox, other), Offered::Refused(_, Outcome::IdReused))
    };
    assert!(matches!(offer(&mut outbox, outgoing("a", true, 1).0), Offered::Queued { .. }));
    assert!(refused(&mut outbox));
    let batch = outbox.take(1);
    assert!(refused(&mut outbox));
    outbox.written(&batch);
    assert!(refused(&mut outbox));
    assert!(matches!(offer(&mut outbox, outgoing("a", true, 1).0), Offered::Refused(_, Outcome::Delivered)));
    assert_eq!(outbox.len(), 0);
}

#[test]
fn an_id_of_text_is_another_one_for_the_same_bytes_as_binary() {
    let mut outbox = Outbox::new(LIMITS);
    assert!(matches!(offer(&mut outbox, outgoing("a", true, 1).0), Offered::Queued { .. }));
    let (mut binary, _caller) = outgoing("a", true, 1);
    let id = binary.message().unwrap().id.clone();
    binary.what = What::Message(Arc::new(Message::new(id, true, Payload::binary("x"))), None);
    assert!(matches!(offer(&mut outbox, binary), Offered::Refused(_, Outcome::IdReused)));
}

#[test]
fn an_id_is_free_again_when_it_is_forgotten() {
    let mut outbox = Outbox::new(LIMITS);
    for n in 0..=limits::IDEMPOTENCY_WINDOW {
        offer(&mut outbox, outgoing(&format!("a{n}"), true, 1).0);
        let batch = outbox.take(1);
        outbox.written(&batch);
    }
    assert!(matches!(offer(&mut outbox, outgoing("a1", true, 2).0), Offered::Refused(_, Outcome::IdReused)));
    assert!(matches!(offer(&mut outbox, outgoing("a0", true, 2).0), Offered::Queued { .. }));
}

#[test]
fn the_same_generated_id_is_not_a_retry() {
    let mut outbox = Outbox::new(LIMITS);
    queue(&mut outbox, "a", 1);
    queue(&mut outbox, "a", 1);
    assert_eq!(outbox.take(9).len(), 2);
}

#[test]
fn a_superseded_session_sends_its_queue_after_the_new_owner() {
    let mut outbox = Outbox::new(LIMITS);
    queue(&mut outbox, "a", 1);
    let reason = CloseReason::Superseded { owner: NodeName::new("n2").unwrap(), stamp: Stamp::from_raw(9) };
    let (first, dropped) = outbox.close(reason.clone());
    assert!(first);
    assert_eq!(dropped.len(), 1);
    assert!(matches!(&dropped[0].1, Outcome::Moved { owner, .. } if owner.as_str() == "n2"));
    assert!(matches!(
        offer(&mut outbox, outgoing("b", false, 1).0),
        Offered::Refused(_, Outcome::Moved { .. })
    ));
    assert!(!outbox.close(CloseReason::Kicked).0);
    assert_eq!(outbox.closing(), Some(&reason));
}

#[test]
fn a_restart_writes_what_is_queued_and_takes_nothing_more() {
    let mut outbox = Outbox::new(LIMITS);
    queue(&mut outbox, "a", 1);
    assert!(outbox.close(CloseReason::Restarting { retry_ms: 1 }).1.is_empty());
    assert!(matches!(offer(&mut outbox, outgoing("b", false, 1).0), Offered::Refused(_, Outcome::NoSession)));
    assert_eq!(outbox.take(9).len(), 1);
}

#[test]
fn a_caller_that_was_told_buffered_is_not_told_again() {
    let mut outbox = Outbox::new(LIMITS);
    let caller = queue(&mut outbox, "a", 1);
    for reply in outbox.detach_replies() {
        reply.answer(Outcome::Buffered);
    }
    for outgoing in outbox.take(1) {
        outgoing.reply.answer(Outcome::Delivered);
    }
    assert_eq!(caller.answer(), Some(Outcome::Buffered));
}
