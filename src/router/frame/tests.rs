//! Golden frames still decode, and what would not fit is refused.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::attributes::MergePatch;
use crate::id::{DeviceId, UserId};
use crate::key::{Key, KeyHasher};
use crate::mesh::codec::Decoder;
use crate::mesh::codec::tests::golden;
use crate::position::{Position, Segment, Writer};
use crate::push::{Message, Payload, Terms, Wait};
use crate::router::operation::Operation;
use crate::section::Packed;
use crate::session::{Hole, Known, TailEntry, TailPart, TailRun};

fn names() -> SessionKey {
    SessionKey::new(UserId::new("42").unwrap(), DeviceId::new("phone").unwrap())
}

fn key() -> Key {
    KeyHasher::new(&[7; 32]).key(&names())
}

fn stamp() -> Stamp {
    Stamp::from_raw(1_795_000_000_000 << 16)
}

fn push_request() -> Request {
    Request {
        seq: 300,
        relay_to: None,
        recipients: Recipients::Devices { user: names().user, devices: vec![key().device] },
        action: Action::Push {
            id: MessageId::new("m-1").unwrap(),
            idempotent: true,
            kind: PayloadKind::Text,
        },
    }
}

fn push_stored() -> Action {
    Action::PushStored {
        id: MessageId::new("m-1").unwrap(),
        idempotent: true,
        kind: PayloadKind::Text,
        ttl: Some(60),
    }
}

fn trace() -> TraceContext {
    TraceContext { trace_id: [0x4b; 16], span_id: [0xf0; 8], sampled: true }
}

fn push_traced(wait: Wait) -> Action {
    let (id, kind) = (MessageId::new("m-1").unwrap(), PayloadKind::Text);
    Action::PushTraced { id, idempotent: true, kind, ttl: Some(60), wait, trace: trace() }
}

/// Of a client that has acknowledged all up to 7: message 8, and the place of one whose time is over.
fn tail_part() -> TailPart {
    let segment = Segment { stamp: stamp(), writer: Writer::from_raw(0x799d_8a3c) };
    let id = |text: &str| MessageId::new(text).unwrap();
    let message = Message::new(id("m-1"), true, Payload::text("hello"));
    let entries = vec![
        TailEntry { message: Ok(Arc::new(message)), left: Some(Duration::from_secs(59)) },
        TailEntry { message: Err(Hole::Expired), left: None },
    ];
    let fingerprint = Message::new(id("m-0"), true, Payload::text("hi")).fingerprint();
    TailPart {
        of: segment,
        index: 2,
        inherited: vec![Segment { stamp: stamp(), writer: Writer::from_raw(0x1c2d_3e4f) }],
        sealed: Vec::new(),
        runs: vec![TailRun { segment, acked: 7, entries }],
        recent: vec![Known { id: id("m-0"), fingerprint }],
        attributes: None,
        done: true,
    }
}

#[test]
fn what_is_handed_over_arrives_as_it_was() {
    let part = tail_part();
    let (header, payload) = HandedPart::of(&part);
    assert!(Action::HandOver(header.clone()).check(payload.len()).is_ok());
    for wrong in [payload.len() - 1, payload.len() + 1] {
        assert!(Action::HandOver(header.clone()).check(wrong).is_err(), "{wrong}");
    }
    assert_eq!(header.read(&payload), part);
    let sealed = vec![Position { segment: part.inherited[0], number: 9 }];
    let part = TailPart { sealed, ..part };
    let (header, payload) = HandedPart::of(&part);
    assert!(Action::HandOver(header.clone()).check(payload.len()).is_ok());
    assert_eq!(header.read(&payload), part);
}

#[test]
fn a_hand_over_with_a_number_that_no_node_gives_is_refused() {
    for (acked, is_refused) in
        [(limits::NUMBER_MAX - 2, false), (limits::NUMBER_MAX - 1, true), (u64::MAX, true)]
    {
        let mut part = tail_part();
        part.runs[0].acked = acked;
        let (header, payload) = HandedPart::of(&part);
        assert_eq!(Action::HandOver(header).check(payload.len()).is_err(), is_refused, "{acked}");
    }
}

#[test]
fn golden_requests_still_decode() {
    golden(&push_request(), b"hello", include_str!("golden/push.hex").trim());
    let all = Request { seq: 1, relay_to: None, recipients: Recipients::All, action: Action::Disconnect };
    golden(&all, b"", include_str!("golden/disconnect.hex").trim());
    let relayed = Request {
        relay_to: Some(NodeName::new("n3").unwrap()),
        recipients: Recipients::Session(names()),
        ..push_request()
    };
    golden(&relayed, b"hello", include_str!("golden/relayed.hex").trim());
    let describe = Request {
        recipients: Recipients::Keys(Packed(vec![key()])),
        action: Action::Describe,
        ..push_request()
    };
    golden(&describe, b"", include_str!("golden/describe.hex").trim());
    let owner = NodeName::new("n1").unwrap();
    for (rival, hex) in [
        (Rival::SameDevice, include_str!("golden/yield.hex")),
        (Rival::OtherDevice, include_str!("golden/yield_other.hex")),
    ] {
        let action = Action::Yield { owner: owner.clone(), stamp: stamp(), rival };
        golden(&Request { action, ..push_request() }, b"", hex.trim());
    }
    let action = Action::PushOn {
        id: MessageId::new("m-1").unwrap(),
        idempotent: true,
        kind: PayloadKind::Text,
        ttl: Some(60),
        acked: true,
    };
    golden(&Request { action, ..push_request() }, b"hello", include_str!("golden/push_on.hex").trim());
    let action = push_stored();
    golden(&Request { action, ..push_request() }, b"hello", include_str!("golden/push_stored.hex").trim());
    let action = push_traced(Wait::Acked);
    golden(&Request { action, ..push_request() }, b"hello", include_str!("golden/push_traced.hex").trim());
    let session = |action| Request { recipients: Recipients::Session(names()), action, ..push_request() };
    let (part, payload) = HandedPart::of(&tail_part());
    golden(&session(Action::HandOver(part)), &payload, include_str!("golden/hand_over.hex").trim());
    let action = Action::Adopt {
        owner: owner.clone(),
        incarnation: Incarnation(1_795_000_000_000),
        stamp: stamp(),
        seconds: 120,
    };
    golden(&session(action), b"", include_str!("golden/adopt.hex").trim());
    let theme = || Attributes::parse(r#"{"theme":"dark"}"#).unwrap();
    let (part, payload) = HandedPart::of(&tail_part());
    let action = Action::HandOverWith { part, changed: stamp(), attributes: theme() };
    golden(&session(action), &payload, include_str!("golden/hand_over_with.hex").trim());
    let login = || LoginId::new("s1").unwrap();
    let action = Action::AdoptLogin {
        owner: owner.clone(),
        incarnation: Incarnation(1_795_000_000_000),
        stamp: stamp(),
        seconds: 120,
        login: login(),
    };
    golden(&session(action), b"", include_str!("golden/adopt_login.hex").trim());
    golden(
        &session(Action::DisconnectLogin(login())),
        b"",
        include_str!("golden/disconnect_login.hex").trim(),
    );
    for (change, hex) in [
        (Change::Read, include_str!("golden/attributes_read.hex")),
        (Change::Replace(theme()), include_str!("golden/attributes_replace.hex")),
        (
            Change::Merge(MergePatch::parse(r#"{"theme":null}"#).unwrap()),
            include_str!("golden/attributes_merge.hex"),
        ),
    ] {
        golden(&session(Action::Attributes(change)), b"", hex.trim());
    }
    let action = Action::Confirm { stamp: stamp() };
    golden(&Request { action, ..push_request() }, b"", include_str!("golden/confirm.hex").trim());
}

#[test]
fn a_node_that_knows_no_attributes_gets_what_it_knows() {
    let attributes = Attributes::parse("{}").unwrap();
    let (part, _) = HandedPart::of(&tail_part());
    let with = Action::HandOverWith { part: part.clone(), changed: stamp(), attributes };
    let adopt = |login| {
        let (owner, incarnation) = (NodeName::new("n1").unwrap(), Incarnation(1));
        let (stamp, seconds) = (stamp(), 120);
        match login {
            None => Action::Adopt { owner, incarnation, stamp, seconds },
            Some(login) => Action::AdoptLogin { owner, incarnation, stamp, seconds, login },
        }
    };
    let login = LoginId::new("s1").unwrap();
    for (action, lesser) in [
        (with, Some(Action::HandOver(part))),
        (adopt(Some(login.clone())), Some(adopt(None))),
        (Action::Attributes(Change::Read), None),
        (Action::DisconnectLogin(login), None),
    ] {
        assert_eq!(action.clone().known_with(Features::OWN).as_ref(), Some(&action));
        assert_eq!(action.clone().known_with(Features::KEEP), lesser);
        assert_eq!(action.known_with(Features::NONE), None);
    }
}

#[test]
fn a_node_that_knows_no_copies_is_told_that_nobody_waits_for_them() {
    let older = Features::KEEP.and(Features::ATTRIBUTES);
    let (id, kind) = (MessageId::new("m-1").unwrap(), PayloadKind::Text);
    let lesser = Action::PushOn { id: id.clone(), idempotent: true, kind, ttl: Some(60), acked: false };
    let terms = Terms { ttl: Some(60), wait: Wait::Stored };
    let push = Operation::Push(Arc::new(Message::new(id, true, Payload::text("hello")).on(terms)));
    let sent = |features| push.sent(features, None).map(|(action, _)| action);
    for (features, action) in [(Features::OWN, push_stored()), (older, lesser.clone())] {
        assert_eq!(push_stored().known_with(features).as_ref(), Some(&action), "as a relay");
        assert_eq!(sent(features), Some(action));
    }
    assert_eq!(push_stored().known_with(Features::COPIES), None, "it keeps no messages");
    assert_eq!(sent(Features::NONE), Some(push_request().action));
    let payload = || Bytes::from_static(b"hello");
    let waits = |action| match Operation::received(action, payload()) {
        Operation::Push(message) => message.terms(),
        other => panic!("{other:?}"),
    };
    assert_eq!(waits(push_stored()), terms);
    assert_eq!(waits(lesser), Terms { ttl: Some(60), wait: Wait::Receipt });
}

#[test]
fn a_node_that_knows_no_traces_is_told_the_push_without() {
    let older = Features::KEEP.and(Features::ATTRIBUTES).and(Features::COPIES);
    let (id, kind) = (MessageId::new("m-1").unwrap(), PayloadKind::Text);
    let on = |acked| Action::PushOn { id: id.clone(), idempotent: true, kind, ttl: Some(60), acked };
    let known = |wait, features| push_traced(wait).known_with(features);
    assert_eq!(known(Wait::Stored, Features::OWN), Some(push_traced(Wait::Stored)));
    assert_eq!(known(Wait::Stored, older), Some(push_stored()));
    assert_eq!(known(Wait::Acked, older), Some(on(true)));
    assert_eq!(known(Wait::Stored, Features::KEEP.and(Features::TRACES)), Some(on(false)));
    assert_eq!(known(Wait::Receipt, Features::NONE), Some(push_request().action));
    let message = Message::new(id.clone(), true, Payload::text("hello"));
    let terms = Terms { ttl: Some(60), wait: Wait::Stored };
    let push = Operation::Push(Arc::new(message.on(terms)));
    let sent = |features| push.sent(features, Some(trace())).map(|(action, _)| action);
    assert_eq!([Features::OWN, older].map(sent), [push_traced(Wait::Stored), push_stored()].map(Some));
    match Operation::received(push_traced(Wait::Stored), Bytes::from_static(b"hello")) {
        Operation::Push(message) => assert_eq!(message.terms(), terms),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trace_without_ids_breaks_the_protocol() {
    let (good, none) = (trace(), [0; 16]);
    let traced = |trace| match push_traced(Wait::Receipt) {
        Action::PushTraced { id, idempotent, kind, ttl, wait, .. } => {
            Action::PushTraced { id, idempotent, kind, ttl, wait, trace }
        }
        other => panic!("{other:?}"),
    };
    assert!(traced(good).check(5).is_ok());
    for bad in [TraceContext { trace_id: none, ..good }, TraceContext { span_id: [0; 8], ..good }] {
        assert!(matches!(traced(bad).check(5), Err(CodecError::Header(_))));
    }
}

#[test]
fn attributes_that_are_none_break_the_protocol() {
    let request = |change| Request {
        seq: 1,
        relay_to: None,
        recipients: Recipients::Session(names()),
        action: Action::Attributes(change),
    };
    let decoded = |bytes: &[u8]| {
        let mut decoder = Decoder::default();
        decoder.feed(bytes);
        decoder.next::<Request>()
    };
    let good = encode(&request(Change::Replace(Attributes::parse(r#"{"a":1}"#).unwrap())), 0).to_vec();
    assert!(decoded(&good).unwrap().is_some());
    let text = good.windows(7).position(|bytes| bytes == br#"{"a":1}"#).unwrap();
    for none in [r#"{"a":1)"#, "[1,2,3]", r#""abcde""#, "1234567", "{} {}  "] {
        let mut bad = good.clone();
        bad[text..text + 7].copy_from_slice(none.as_bytes());
        assert!(decoded(&bad).is_err(), "{none}");
    }
}

#[test]
fn a_request_whose_receipt_would_not_fit_a_frame_is_refused() {
    let devices = |count| Recipients::Devices { user: names().user, devices: vec![key().device; count] };
    assert!(devices(limits::SESSIONS_PER_USER_CEILING).check().is_ok());
    let refused = devices(limits::SESSIONS_PER_USER_CEILING + 1).check();
    assert!(matches!(refused, Err(CodecError::Oversize { part: "devices", .. })));
    let refused = Recipients::Keys(Packed(vec![key(); limits::SESSIONS_PAGE_MAX + 2])).check();
    assert!(matches!(refused, Err(CodecError::Oversize { part: "keys", .. })));
}
