//! Where a client is in what it gets: segments, and positions in them.
//!
//! A *segment* is one ownership period of a session: the messages that one claim of one boot of a node numbered 1, 2, 3 …
//! It is never used again. A *position* is a segment with a number in it, as one value, so that nobody updates one half of
//! it. To clients both are texts: a segment is 24 hexadecimal digits, whose order is that of the segments of a session, and
//! a position is the segment, a point and the number.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hash::{extend, fnv1a, mix};
use crate::id::{Incarnation, NodeName, Stamp};

/// The node, in one of its boots, that numbers a segment, as a tag of 32 bits: two nodes may claim a session with the same
/// stamp, and their numbers must not be taken for each other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Writer(u32);

impl Writer {
    /// The tag of that boot of a node.
    #[must_use]
    pub(crate) fn of(node: &NodeName, incarnation: Incarnation) -> Self {
        let hash = extend(fnv1a(node.as_str().as_bytes()), &incarnation.0.to_be_bytes());
        Self((mix(hash) >> 32) as u32)
    }

    /// The tag with this raw value.
    #[must_use]
    pub(crate) fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// The raw value, for tokens.
    #[must_use]
    pub(crate) fn raw(self) -> u32 {
        self.0
    }
}

/// One ownership period of a session. Those of one session are ordered by their stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Segment {
    /// The stamp of its claim.
    pub stamp: Stamp,
    /// Who numbers it.
    pub writer: Writer,
}

impl Segment {
    /// That of the claim with that stamp, which that boot of a node has made.
    #[must_use]
    pub fn of(node: &NodeName, incarnation: Incarnation, stamp: Stamp) -> Self {
        Self { stamp, writer: Writer::of(node, incarnation) }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:08x}", self.stamp.raw(), self.writer.0)
    }
}

/// A number in a segment; 0 is before its first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// In which segment.
    pub segment: Segment,
    /// The number of the message.
    pub number: u64,
}

impl Position {
    /// Where other nodes hold the attributes of a session in that version: no message stands there.
    pub(crate) fn of_attributes(version: Stamp) -> Self {
        Self { segment: ATTRIBUTES, number: version.raw() }
    }

    /// The version of the attributes that stand there. `None`: a message does.
    pub(crate) fn attributes_version(self) -> Option<Stamp> {
        (self.segment == ATTRIBUTES).then(|| Stamp::from_raw(self.number))
    }

    /// Where other nodes hold that the client of the session is away that was claimed with that stamp: no message stands there.
    pub(crate) fn of_absence(claim: Stamp) -> Self {
        Self { segment: ABSENCE, number: claim.raw() }
    }

    /// All positions where it may be held that a client is away.
    pub(crate) fn absences() -> RangeInclusive<Self> {
        Self::of_absence(Stamp::ZERO)..=Self { segment: ABSENCE, number: u64::MAX }
    }

    /// Whether a message stands there.
    pub(crate) fn is_message(self) -> bool {
        self.segment.stamp != NO_CLAIM
    }

    /// Up to where nothing is needed any more once this is held: what was said earlier of the same. `None`: a message stands here.
    pub(crate) fn replaces(self) -> Option<Self> {
        (!self.is_message()).then(|| Self { number: self.number.saturating_sub(1), ..self })
    }
}

/// No claim has this stamp: what stands in such segments is held beside the messages of a session.
const NO_CLAIM: Stamp = Stamp::ZERO;
const ATTRIBUTES: Segment = Segment { stamp: NO_CLAIM, writer: Writer(0) };
const ABSENCE: Segment = Segment { stamp: NO_CLAIM, writer: Writer(1) };

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.segment, self.number)
    }
}

/// A text is no segment, or no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a segment is {DIGITS} hexadecimal digits, as the node wrote it; a position is a segment, a point and a number"
)]
pub struct PositionError;

impl FromStr for Segment {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != DIGITS || !text.bytes().all(is_digit) {
            return Err(PositionError);
        }
        let (stamp, writer) = text.split_at(STAMP_DIGITS);
        let stamp = u64::from_str_radix(stamp, 16).map_err(|_| PositionError)?;
        let writer = u32::from_str_radix(writer, 16).map_err(|_| PositionError)?;
        Ok(Self { stamp: Stamp::from_raw(stamp), writer: Writer(writer) })
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (segment, number) = text.split_once('.').ok_or(PositionError)?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PositionError);
        }
        Ok(Self { segment: segment.parse()?, number: number.parse().map_err(|_| PositionError)? })
    }
}

/// Digits of a stamp.
const STAMP_DIGITS: usize = 16;
/// Digits of a segment.
const DIGITS: usize = STAMP_DIGITS + 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(stamp: u64, writer: u32) -> Segment {
        Segment { stamp: Stamp::from_raw(stamp), writer: Writer(writer) }
    }

    #[test]
    fn segments_and_positions_are_read_as_they_are_written() {
        let position = Position { segment: segment(0x1f, 0xabc), number: 41 };
        assert_eq!(position.to_string(), "000000000000001f00000abc.41");
        assert_eq!(position.to_string().parse(), Ok(position));
        assert_eq!(position.segment.to_string().parse(), Ok(position.segment));
        let greatest = Position { segment: segment(u64::MAX, u32::MAX), number: u64::MAX };
        assert_eq!(greatest.to_string().parse(), Ok(greatest));
    }

    #[test]
    fn the_texts_of_segments_have_the_order_of_their_stamps() {
        let texts = [segment(9, 7), segment(10, 1), segment(0x100, 0)].map(|segment| segment.to_string());
        assert!(texts.is_sorted());
    }

    #[test]
    fn what_is_held_beside_messages_replaces_what_was_said_before_of_the_same() {
        let claim = Stamp::from_raw(7);
        let (attributes, absence) = (Position::of_attributes(claim), Position::of_absence(claim));
        assert_eq!((attributes.attributes_version(), absence.attributes_version()), (Some(claim), None));
        let is_absence = |at| Position::absences().contains(&at);
        assert!(is_absence(absence) && !is_absence(attributes));
        for at in [attributes, absence] {
            assert!(!at.is_message());
            assert_eq!(at.replaces(), Some(Position { number: 6, ..at }));
        }
        let message = Position { segment: segment(1, 0), number: 7 };
        assert!(message.is_message() && message.replaces().is_none() && !is_absence(message));
    }

    #[test]
    fn what_no_node_wrote_is_refused() {
        let good = segment(7, 7).to_string();
        for bad in ["", ".", "7.1", &good, &format!("{good}."), &format!("{good}.-1"), &format!("{good}.+1")]
        {
            assert_eq!(bad.parse::<Position>(), Err(PositionError), "{bad}");
        }
        for bad in [format!("{good}.18446744073709551616"), format!("{}.1", good.replace('7', "F"))] {
            assert_eq!(bad.parse::<Position>(), Err(PositionError), "{bad}");
        }
        assert_eq!(format!("{}é", &good[..22]).parse::<Segment>(), Err(PositionError));
    }

    #[test]
    fn two_boots_and_two_nodes_have_tags_of_their_own() {
        let name = |text: &str| NodeName::new(text).unwrap();
        let tags =
            [("a", 1), ("a", 2), ("b", 1)].map(|(node, boot)| Writer::of(&name(node), Incarnation(boot)));
        assert!(tags[0] != tags[1] && tags[0] != tags[2] && tags[1] != tags[2]);
    }
}
