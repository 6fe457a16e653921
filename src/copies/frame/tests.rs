//! Golden frames still decode, each kind of frames has one, and messages arrive as they were sent.
//!
//! A frame that is new gets a row in [`frames`] or [`answers`], and a text in `golden/`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::*;
use crate::copies::group::{GROUPS, group_of};
use crate::id::{DeviceId, Incarnation, MessageId, NodeName, SessionKey, UserId};
use crate::key::{KeyHasher, UserHash};
use crate::mesh::codec::Decoder;
use crate::mesh::codec::tests::golden;
use crate::metrics::Metrics;
use crate::position::{Position, Segment, Writer};
use crate::push::{Message, Payload};
use crate::quorum::{Fence, Op, Refusal};
use crate::session::StoreBounds;

fn key() -> Key {
    let names = SessionKey::new(UserId::new("42").unwrap(), DeviceId::new("phone").unwrap());
    KeyHasher::new(&[7; 32]).key(&names)
}

fn group() -> u8 {
    group_of(key())
}

fn stamp() -> Stamp {
    Stamp::from_raw(1_795_000_000_000 << 16)
}

fn later() -> Stamp {
    Stamp::from_raw(stamp().raw() + 1)
}

fn boot(name: &str, incarnation: u64) -> Boot {
    Boot { name: NodeName::new(name).unwrap(), incarnation: Incarnation(incarnation) }
}

fn n1() -> Boot {
    boot("n1", 1_795_000_000_000)
}

fn n2() -> Boot {
    boot("n2", 7)
}

fn n3() -> Boot {
    boot("n3", 9)
}

fn fence() -> Fence {
    Fence { stamp: later(), by: n3() }
}

fn config(epoch: u32, members: &[Boot]) -> Config {
    Config { epoch, members: members.to_vec() }
}

fn at(number: u64) -> Position {
    Position { segment: Segment { stamp: stamp(), writer: Writer::from_raw(0x799d_8a3c) }, number }
}

fn copied(id: &str, payload: Payload, expires: Option<Instant>) -> Copied {
    let message = Arc::new(Message::new(MessageId::new(id).unwrap(), expires.is_some(), payload));
    Copied { message, expires, keep: 120, room: None }
}

fn entry(at: Position, message: Copied) -> Entry<Copied> {
    Entry { key: key(), claim: stamp(), at, message }
}

/// Two messages of one segment.
fn entries(now: Instant) -> Vec<Entry<Copied>> {
    let binary = Payload::binary(Bytes::from_static(&[0, 255]));
    let in_a_minute = Some(now + Duration::from_secs(59));
    vec![
        entry(at(8), copied("m-1", Payload::text("hello"), None)),
        entry(at(300), copied("m-2", binary, in_a_minute)),
    ]
}

fn attributes() -> Entry<Copied> {
    let text = Payload::text(r#"{"theme":"dark"}"#);
    entry(Position::of_attributes(stamp()), copied("attributes", text, None))
}

fn release() -> Release {
    Release { key: key(), fence: fence(), held: [at(8), at(300)].into(), complete: true }
}

fn acked() -> Acked {
    Acked { place: 301, refused: vec![Refusal { key: key(), fence: fence(), place: 300 }] }
}

/// What an owner sends, and whoever takes over, at that moment.
fn frames(now: Instant) -> Vec<(LogFrame<Copied>, &'static str)> {
    let held = Held {
        entries: entries(now),
        follows: vec![(key(), stamp(), vec![n3()])],
        fences: vec![(key(), fence())],
    };
    let to_member = |frame| LogFrame::ToMember { group: group(), frame };
    let logged = |op| to_member(ToMember::Logged { place: 301, op });
    let message = || entries(now).pop().unwrap();
    let opened = config(4, &[n2(), n3()]);
    let configs = vec![opened.clone(), config(300, &[n3()])];
    let follow = Op::Follow { key: key(), claim: stamp(), owners: vec![n1(), n3()] };
    let seal = Seal { key: key(), fence: fence(), shown: Some(stamp()) };
    vec![
        (LogFrame::Part { group: group(), held }, include_str!("golden/part.hex")),
        (
            to_member(ToMember::Open { config: opened.clone(), place: 300, held: Held::nothing() }),
            include_str!("golden/open.hex"),
        ),
        (logged(Op::Append(message())), include_str!("golden/append.hex")),
        (logged(Op::Append(attributes())), include_str!("golden/append_attributes.hex")),
        (logged(follow), include_str!("golden/follow.hex")),
        (logged(Op::Trim { key: key(), upto: at(8) }), include_str!("golden/trim.hex")),
        (logged(Op::Drop { key: key(), claim: stamp() }), include_str!("golden/drop.hex")),
        (logged(Op::Fence { key: key(), fence: fence() }), include_str!("golden/fence.hex")),
        (logged(Op::Release(release())), include_str!("golden/release_logged.hex")),
        (to_member(ToMember::Propose { configs }), include_str!("golden/propose.hex")),
        (LogFrame::Announced { group: group(), config: opened }, include_str!("golden/announced.hex")),
        (LogFrame::Release { owner: n1(), release: release() }, include_str!("golden/release.hex")),
        (LogFrame::Seal { owner: n1(), seal }, include_str!("golden/seal.hex")),
    ]
}

/// What they are answered.
fn answers(now: Instant) -> Vec<(LogAnswer<Copied>, &'static str)> {
    let opened = Opened { epoch: 4, place: 300, acked: acked() };
    let accepted = Accepted { epoch: 300, fences: vec![(key(), fence())] };
    let sealed = |answer| LogAnswer::Sealed { owner: n3(), key: key(), claim: stamp(), answer };
    let tail = SealAnswer::Tail {
        epoch: 4,
        configs: vec![config(4, &[n1(), n2()])],
        entries: entries(now),
        beyond: vec![n1()],
    };
    let part = LogAnswer::Part { owner: n3(), key: key(), entries: entries(now) };
    let known = |config| LogAnswer::Known { owner: n1(), group: group(), config };
    vec![
        (LogAnswer::Read, include_str!("golden/read.hex")),
        (LogAnswer::Full, include_str!("golden/full.hex")),
        (LogAnswer::Opened(group(), opened), include_str!("golden/opened.hex")),
        (LogAnswer::Acked(group(), acked()), include_str!("golden/acked.hex")),
        (LogAnswer::Accepted(group(), accepted), include_str!("golden/accepted.hex")),
        (part, include_str!("golden/sealed_part.hex")),
        (sealed(tail), include_str!("golden/sealed_tail.hex")),
        (sealed(SealAnswer::Unknown), include_str!("golden/sealed_unknown.hex")),
        (sealed(SealAnswer::Newer(vec![config(300, &[n1()])])), include_str!("golden/sealed_newer.hex")),
        (sealed(SealAnswer::Refused(Some(fence()))), include_str!("golden/sealed_refused.hex")),
        (sealed(SealAnswer::Refused(None)), include_str!("golden/sealed_unproven.hex")),
        (known(config(4, &[n2(), n3()])), include_str!("golden/known.hex")),
    ]
}

/// What follows a header, once all messages went through this.
fn sent(now: Instant) -> Sent {
    Sent { now, payloads: Vec::new() }
}

#[test]
fn golden_frames_of_logs_still_decode() {
    let now = Instant::now();
    for (frame, hex) in frames(now) {
        let mut sent = sent(now);
        let header = frame.map(|copied| sent.header(&copied));
        golden(&header, &sent.payloads.concat(), hex.trim());
    }
    for (answer, hex) in answers(now) {
        let mut sent = sent(now);
        let header = answer.map(|copied| sent.header(&copied));
        golden(&header, &sent.payloads.concat(), hex.trim());
    }
}

#[test]
fn each_kind_of_frames_of_logs_has_a_golden_one() {
    let now = Instant::now();
    let header = |copied: Copied| sent(now).header(&copied);
    let frames: Vec<_> = frames(now).into_iter().map(|(frame, _)| frame.map(header)).collect();
    let answers: Vec<_> = answers(now).into_iter().map(|(answer, _)| answer.map(header)).collect();
    let to_member = |frame: &LogFrame<Header>| match frame {
        LogFrame::ToMember { frame, .. } => Some(frame.clone()),
        _ => None,
    };
    let to_member: Vec<_> = frames.iter().filter_map(to_member).collect();
    let op = |frame: &ToMember<Header>| match frame {
        ToMember::Logged { op, .. } => Some(op.clone()),
        _ => None,
    };
    let ops: Vec<_> = to_member.iter().filter_map(op).collect();
    let sealed = |answer: &LogAnswer<Header>| match answer {
        LogAnswer::Sealed { answer, .. } => Some(answer.clone()),
        _ => None,
    };
    let sealed: Vec<_> = answers.iter().filter_map(sealed).collect();
    are_all("LogFrame", &frames);
    are_all("LogAnswer", &answers);
    are_all("ToMember", &to_member);
    are_all("Op", &ops);
    are_all("SealAnswer", &sealed);
}

/// Before the header of a frame, which begins with the number of its variant.
const PREFIX_BYTES: usize = 8;
/// The number of no variant, in one byte.
const NO_VARIANT: u8 = 250;

/// Asserts that each variant of an enum is among these.
fn are_all<T: Serialize + DeserializeOwned>(name: &str, golden: &[T]) {
    let number = |of: &T| encode(of, 0)[PREFIX_BYTES];
    let found: BTreeSet<_> = golden.iter().map(number).collect();
    // Of a number that it does not know the decoder says how many it knows.
    let mut decoder = Decoder::default();
    decoder.feed(&encode(&NO_VARIANT, 0));
    let unknown = decoder.next::<T>().err().unwrap().to_string();
    let count = unknown.rsplit_once("< ").unwrap().1;
    let count: String = count.chars().take_while(char::is_ascii_digit).collect();
    let all: BTreeSet<_> = (0..count.parse().unwrap()).collect();
    assert_eq!(found, all, "a variant of {name} has no golden frame");
}

#[test]
fn what_no_node_says_of_logs_is_refused() {
    let now = Instant::now();
    assert!(frames(now).into_iter().all(|(frame, _)| frame.check(&n3()).is_ok()));
    assert!(answers(now).into_iter().all(|(answer, _)| answer.check().is_ok()));
    let numbered = |number| entry(at(number), copied("m-1", Payload::text("hello"), None));
    let many = config(4, &[n1(), n2(), n3()]);
    let configs = vec![config(4, &[n2()]); 5];
    let owners = vec![n1(); limits::OWNERS_FOLLOWED_MAX + 1];
    let held = (1..=limits::RELEASED_MAX as u64 + 1).map(at).collect();
    let to_member = |frame| LogFrame::ToMember { group: group(), frame };
    let logged = |op| to_member(ToMember::Logged { place: 1, op });
    let follow = Op::Follow { key: key(), claim: stamp(), owners: owners.clone() };
    let seal = Seal { key: key(), fence: Fence { by: n1(), ..fence() }, shown: None };
    let follows = vec![(key(), stamp(), Vec::new()); LISTED_MAX + 1];
    let bad = [
        LogFrame::Part { group: GROUPS, held: Held::nothing() },
        LogFrame::Part { group: group(), held: Held { follows, ..Held::nothing() } },
        LogFrame::Announced { group: group(), config: many },
        to_member(ToMember::Propose { configs: configs.clone() }),
        logged(Op::Append(numbered(0))),
        logged(Op::Append(numbered(limits::NUMBER_MAX + 1))),
        logged(follow),
        logged(Op::Release(Release { held, ..release() })),
        LogFrame::Release { owner: n1(), release: Release { fence: seal.fence.clone(), ..release() } },
        LogFrame::Seal { owner: n1(), seal },
    ];
    for frame in bad {
        assert!(frame.check(&n3()).is_err(), "{frame:?}");
    }
    let sealed = |answer| LogAnswer::Sealed { owner: n3(), key: key(), claim: stamp(), answer };
    let refused = vec![Refusal { key: key(), fence: fence(), place: 1 }; LISTED_MAX + 1];
    let bad = [
        LogAnswer::Acked(GROUPS, acked()),
        LogAnswer::Acked(group(), Acked { place: 1, refused }),
        LogAnswer::Part { owner: n3(), key: key(), entries: vec![numbered(0)] },
        sealed(SealAnswer::Newer(configs)),
        sealed(SealAnswer::Tail { epoch: 4, configs: Vec::new(), entries: Vec::new(), beyond: owners }),
        LogAnswer::Known { owner: n1(), group: GROUPS, config: config(4, &[n2()]) },
        LogAnswer::Known { owner: n1(), group: group(), config: config(4, &[n1(), n2(), n3()]) },
    ];
    for answer in bad {
        assert!(answer.check().is_err(), "{answer:?}");
    }
}

#[test]
fn what_a_member_has_refused_is_said_in_frames_of_which_the_last_has_its_place() {
    let refusal = |place: usize| {
        let key = Key { user: UserHash { high: place as u64, low: 0 }, ..key() };
        Refusal { key, fence: fence(), place: place as u64 }
    };
    let count = 2 * LISTED_MAX + 1;
    let refused: Vec<_> = (1..=count).rev().map(refusal).collect();
    let acked = Acked { place: 9_999, refused: refused.clone() };
    let fences: Vec<_> = refused.into_iter().map(|Refusal { key, fence, .. }| (key, fence)).collect();
    let opened = Opened { epoch: 4, place: 1, acked: acked.clone() };
    let all = [
        LogAnswer::<Copied>::Opened(3, opened),
        LogAnswer::Acked(3, acked),
        LogAnswer::Accepted(3, Accepted { epoch: 4, fences }),
    ];
    for whole in all {
        let mut frames = whole.clone().split();
        assert!(frames.iter().all(|frame| frame.check().is_ok()));
        let last = frames.pop().unwrap();
        let (mut said, places) = match (last, whole) {
            (LogAnswer::Opened(3, last), LogAnswer::Opened(3, whole)) => {
                assert_eq!((last.epoch, last.place, last.acked.place), (whole.epoch, whole.place, 9_999));
                let last = last.acked.refused;
                assert!(last.iter().any(|refusal| refusal.place == count as u64));
                (last, true)
            }
            (LogAnswer::Acked(3, last), LogAnswer::Acked(3, whole)) => {
                assert_eq!(last.place, whole.place);
                assert!(last.refused.iter().any(|refusal| refusal.place == count as u64));
                (last.refused, true)
            }
            (LogAnswer::Accepted(3, Accepted { epoch: 4, fences }), LogAnswer::Accepted(..)) => {
                (fences.into_iter().map(|(key, fence)| Refusal { key, fence, place: 0 }).collect(), false)
            }
            other => panic!("{other:?}"),
        };
        for frame in frames {
            let LogAnswer::Acked(3, Acked { place: 0, refused }) = frame else { panic!("{frame:?}") };
            said.extend(refused);
        }
        said.sort_by_key(|refusal| refusal.key.user.high);
        let place = |at: usize| if places { at } else { 0 };
        let expected: Vec<_> =
            (1..=count).map(|at| Refusal { place: place(at) as u64, ..refusal(at) }).collect();
        assert_eq!(said, expected);
    }
}

#[test]
fn messages_arrive_with_what_belongs_to_them_and_take_room() {
    let now = Instant::now();
    let bounds = StoreBounds { messages_max: 1, bytes_max: 1, node_bytes_max: 600 };
    let store = Store::new(bounds, Arc::new(Metrics::new()));
    let mut sent = sent(now);
    let headers: Vec<_> = entries(now).iter().map(|entry| sent.header(&entry.message)).collect();
    let payload = Bytes::from(sent.payloads.concat());
    let mut received = Received { now, ..Received::new(&payload, &store) };
    let arrived: Vec<_> = headers.iter().map(|header| received.message(header.clone())).collect();
    for (arrived, entry) in arrived.iter().zip(entries(now)) {
        let Copied { message, expires, keep, .. } = entry.message;
        assert_eq!((&arrived.message, arrived.expires, arrived.keep), (&message, expires, keep));
        assert!(arrived.has_room());
    }
    assert!(!received.is_full() && received.check().is_ok());
    let longer = Bytes::from([&payload[..], b"!"].concat());
    for wrong in [payload.slice(1..), longer] {
        let mut received = Received::new(&wrong, &store);
        headers.iter().for_each(|header| drop(received.message(header.clone())));
        assert!(received.check().is_err(), "other bytes than its headers say");
    }
    let mut received = Received::new(&payload, &store);
    assert!(!received.message(headers[0].clone()).has_room() && received.is_full(), "they are still held");
    drop(arrived);
    assert!(Received::new(&payload, &store).message(headers[0].clone()).has_room());
}
