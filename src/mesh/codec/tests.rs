//! Frames survive any cut of the stream, bad ones are refused, and golden frames still decode.

use proptest::prelude::*;

use super::*;
use crate::attributes::{Attributes, Changed};
use crate::id::{DeviceId, Incarnation, NodeName, SessionKey, Stamp, UserId};
use crate::mesh::frame::*;
use crate::push::{Outcome, Reached, Tally};
use crate::receipt::{Answer, NamedOutcome};

fn names() -> SessionKey {
    SessionKey::new(UserId::new("42").unwrap(), DeviceId::new("phone").unwrap())
}

fn hello() -> Hello {
    Hello {
        name: NodeName::new("n1").unwrap(),
        incarnation: Incarnation(1_795_000_000_000),
        mesh: "127.0.0.1:7400".parse().unwrap(),
        members: vec![KnownMember {
            name: NodeName::new("n2").unwrap(),
            incarnation: Incarnation(7),
            mesh: "[::1]:7401".parse().unwrap(),
        }],
        settings: settings(),
        features: Features(0x21),
    }
}

fn settings() -> Settings {
    Settings { takeover: "max-per-user=3".to_owned(), keys_check: 0x1122_3344_5566_7788 }
}

/// Encodes to what the golden text says and decodes back to the same value.
pub(crate) fn golden<H>(header: &H, payload: &[u8], hex: &str)
where
    H: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let mut bytes = encode(header, payload.len()).to_vec();
    bytes.extend_from_slice(payload);
    let found: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, hex, "the wire format of {header:?} changed: that needs a new protocol version");
    let mut decoder = Decoder::default();
    decoder.feed(&bytes);
    let (decoded, rest) = decoder.next::<H>().unwrap().unwrap();
    assert_eq!((&decoded, &rest[..]), (header, payload));
}

#[test]
fn golden_frames_still_decode() {
    golden(&hello(), b"", include_str!("golden/hello.hex").trim());
    golden(&v4::Hello::from(hello()), b"", include_str!("golden/v4/hello.hex").trim());
    for (answer, hex, hex_v4) in [
        (
            HelloAnswer::Welcome(hello()),
            include_str!("golden/welcome.hex"),
            include_str!("golden/v4/welcome.hex"),
        ),
        (
            HelloAnswer::StaleIncarnation { known: Incarnation(9) },
            include_str!("golden/stale.hex"),
            include_str!("golden/stale.hex"),
        ),
        (
            HelloAnswer::Disagreed(settings()),
            include_str!("golden/disagreed.hex"),
            include_str!("golden/disagreed.hex"),
        ),
    ] {
        golden(&answer, b"", hex.trim());
        golden(&v4::HelloAnswer::from(answer), b"", hex_v4.trim());
    }
    golden(&Probe { name: NodeName::new("n1").unwrap() }, b"", include_str!("golden/probe.hex").trim());
    let answer = ProbeAnswer {
        known: Some(Incarnation(9)),
        members: vec!["127.0.0.1:7400".parse().unwrap(), "[::1]:7401".parse().unwrap()],
    };
    golden(&answer, b"", include_str!("golden/probe_answer.hex").trim());
    let moved = Outcome::Moved {
        owner: NodeName::new("n3").unwrap(),
        stamp: Stamp::from_raw(1_795_000_000_000 << 16),
    };
    let outcomes = vec![
        Outcome::Delivered,
        Outcome::Buffered,
        moved,
        Outcome::NoSession,
        Outcome::Overloaded,
        Outcome::Interrupted,
        Outcome::Unreachable,
        Outcome::Unknown,
        Outcome::NotReady,
        Outcome::IdReused,
    ];
    let tally =
        Tally { delivered: 1, buffered: 2, overloaded: 3, interrupted: 4, id_reused: 5, ..Tally::default() };
    let receipts = Receipts(vec![
        Receipt { seq: 300, answer: Answer::Outcomes(outcomes) },
        Receipt { seq: 301, answer: Answer::Tally(tally) },
        Receipt {
            seq: 302,
            answer: Answer::Named(vec![
                NamedOutcome { device: Some(names().device), outcome: Outcome::Delivered },
                NamedOutcome { device: None, outcome: Outcome::NoSession },
            ]),
        },
        Receipt { seq: 303, answer: Answer::Sessions(vec![Some(names()), None]) },
        Receipt { seq: 304, answer: Answer::NotRelayed },
        Receipt { seq: 305, answer: Answer::Unanswered },
        Receipt { seq: 306, answer: Answer::Overloaded },
    ]);
    golden(&receipts, b"", include_str!("golden/receipts.hex").trim());
    let kept = Receipts(vec![
        Receipt { seq: 307, answer: Answer::Outcomes(vec![Outcome::Acked, Outcome::Queued]) },
        Receipt { seq: 308, answer: Answer::tally(Tally { acked: 6, queued: 7, ..tally }) },
    ]);
    golden(&kept, b"", include_str!("golden/receipts_kept.hex").trim());
    let are = Changed::Are(Attributes::parse(r#"{"theme":"dark"}"#).unwrap());
    let answers = (309..).zip([are, Changed::TooLarge, Changed::Reserved]);
    let receipt = |(seq, changed)| Receipt { seq, answer: Answer::Attributes(changed) };
    let attributes = Receipts(answers.map(receipt).collect());
    golden(&attributes, b"", include_str!("golden/receipts_attributes.hex").trim());
    let copied = [(Reached::Delivered, 2), (Reached::Buffered, 1), (Reached::Queued, 1)];
    let copied = copied.map(|(reached, copies)| Outcome::Copied { reached, copies });
    let copied = Receipts(vec![Receipt { seq: 312, answer: Answer::Outcomes(copied.into()) }]);
    golden(&copied, b"", include_str!("golden/receipts_copied.hex").trim());
}

#[test]
fn a_length_beyond_its_bound_is_refused_before_it_is_read() {
    let mut decoder = Decoder::default();
    decoder.feed(&u32::MAX.to_be_bytes());
    decoder.feed(&0_u32.to_be_bytes());
    assert!(matches!(decoder.next::<Hello>(), Err(CodecError::Oversize { part: "header", .. })));
    let mut decoder = Decoder::default();
    decoder.feed(&1_u32.to_be_bytes());
    decoder.feed(&(limits::FRAME_PAYLOAD_BYTES_MAX as u32 + 1).to_be_bytes());
    assert!(matches!(decoder.next::<Hello>(), Err(CodecError::Oversize { part: "payload", .. })));
}

#[test]
fn a_header_with_trailing_bytes_or_an_invalid_name_is_refused() {
    let refused = |header: &[u8]| {
        let mut decoder = Decoder::default();
        decoder.feed(&(header.len() as u32).to_be_bytes());
        decoder.feed(&0_u32.to_be_bytes());
        decoder.feed(header);
        matches!(decoder.next::<Probe>(), Err(CodecError::Header(_)))
    };
    assert!(!refused(b"\x02n1"));
    assert!(refused(b"\x02n1\0"), "trailing byte");
    assert!(refused(b"\x02n/"), "not a node name");
    assert!(refused(b"\xfc\xff\xff\xff\xff"), "a text of 4 GiB");
    assert!(refused(b""), "nothing");
}

proptest! {
    #[test]
    fn frames_survive_any_cut_of_the_stream(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        cuts in prop::collection::vec(1..30usize, 0..60),
    ) {
        let mut bytes = Vec::new();
        for payload in &payloads {
            bytes.extend_from_slice(&encode(&hello(), payload.len()));
            bytes.extend_from_slice(payload);
        }
        let (mut decoder, mut found, mut rest) = (Decoder::default(), Vec::new(), &bytes[..]);
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (chunk, tail) = rest.split_at(cut.min(rest.len()));
            rest = tail;
            decoder.feed(chunk);
            while let Some((header, payload)) = decoder.next::<Hello>().unwrap() {
                prop_assert_eq!(header, hello());
                found.push(payload.to_vec());
            }
        }
        prop_assert_eq!(found, payloads);
        prop_assert!(decoder.is_empty());
    }

    #[test]
    fn headers_of_any_length_survive(members in 0..60usize) {
        let sent = Hello { members: vec![hello().members[0].clone(); members], ..hello() };
        let mut decoder = Decoder::default();
        decoder.feed(&encode(&sent, 0));
        prop_assert_eq!(decoder.next::<Hello>().unwrap(), Some((sent, Bytes::new())));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = Decoder::default();
        decoder.feed(&bytes);
        let _ = decoder.next::<HelloAnswer>();
        let mut decoder = Decoder::default();
        decoder.feed(&(bytes.len() as u32).to_be_bytes());
        decoder.feed(&0_u32.to_be_bytes());
        decoder.feed(&bytes);
        let _ = decoder.next::<Receipts>();
    }
}
