//! Where a client of a kept session is: segments, and numbers in them, as docs/PROTOCOL.md says in section 3.6.

use std::fmt;

/// One ownership period of a session, as clients know it: a text whose order is that of the segments of a session.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Segment(String);

impl Segment {
    /// The segment of that name. `None`: the text is not 24 hexadecimal digits.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let digit = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        (text.len() == DIGITS && text.as_bytes().iter().all(digit)).then(|| Self(text.to_owned()))
    }

    /// Its name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The stamp of its claim, by which segments are ordered first.
    pub(crate) fn stamp(&self) -> u64 {
        u64::from_str_radix(&self.0[..STAMP_DIGITS], 16).expect("a segment has only such digits")
    }

    /// One that nobody has ever numbered, with the same stamp.
    pub(crate) fn forged(&self) -> Self {
        let writer: String = self.0[STAMP_DIGITS..].chars().rev().collect();
        Self(format!("{}{writer}", &self.0[..STAMP_DIGITS]))
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number in a segment; 0 is before its first message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// In which segment.
    pub(crate) segment: Segment,
    /// The number of the message.
    pub(crate) n: u64,
}

impl Position {
    /// The position of that name. `None`: the text is none.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let (segment, n) = text.split_once('.')?;
        Some(Self { segment: Segment::new(segment)?, n: n.parse().ok()? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.segment.0, self.n)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const DIGITS: usize = 24;
const STAMP_DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_ordered_by_its_stamp() {
        let segment = |text| Segment::new(text).unwrap();
        let [first, later] = ["00000000000000ff0000000a", "01000000000000000000000a"].map(segment);
        assert!(first < later);
        assert_eq!((first.stamp(), later.stamp()), (0xff, 1 << 56));
        assert_eq!((first.forged().stamp(), first.forged() == first), (0xff, false));
        assert_eq!(Segment::new("00000000000000FF0000000a"), None);
        assert_eq!(Segment::new("ff"), None);
    }
}
