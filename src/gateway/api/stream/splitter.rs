//! Cuts a stream of bytes into lines, however the bytes arrive.
//!
//! A line within one piece is a slice of it; one that spans pieces is put together. A line beyond
//! the bound is reported once and thrown away up to its end, so that nothing longer is ever kept.

use bytes::{Buf, Bytes, BytesMut};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Split {
    /// Its text, without the line break.
    Line(Bytes),
    /// It has more bytes than a line may have.
    TooLong,
}

/// The state between pieces.
pub(super) struct Splitter {
    line_bytes_max: usize,
    /// The piece that is being cut.
    piece: Bytes,
    /// The begin of a line whose end has not arrived.
    begun: BytesMut,
    /// The current line was reported as too long: its rest is thrown away.
    skipping: bool,
    ended: bool,
    /// The number of the last line, from 1.
    number: u64,
}

impl Splitter {
    /// Lines of at most that many bytes, their line break not counted.
    pub(super) fn new(line_bytes_max: usize) -> Self {
        let (piece, begun) = (Bytes::new(), BytesMut::new());
        Self { line_bytes_max, piece, begun, skipping: false, ended: false, number: 0 }
    }

    /// Adds the next piece. The one before must have been cut to its end.
    pub(super) fn push(&mut self, piece: Bytes) {
        assert!(self.piece.is_empty() && !self.ended, "pieces are cut one after the other");
        self.piece = piece;
    }

    /// There are no more pieces: what is left is the last line.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether [`end`](Self::end) was called.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether nothing will come any more.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.piece.is_empty() && self.begun.is_empty()
    }

    /// The number of the line that comes next.
    pub(super) fn next_number(&self) -> u64 {
        self.number + 1
    }

    /// The next line with its number, if there is a complete one. Blank lines are counted and left
    /// out.
    pub(super) fn next(&mut self) -> Option<(u64, Split)> {
        while !self.piece.is_empty() {
            let split = match self.piece.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    let rest = self.piece.split_to(end);
                    self.piece.advance(1);
                    let skipped = std::mem::take(&mut self.skipping);
                    if skipped { None } else { Some(self.complete(rest)) }
                }
                None => {
                    let rest = std::mem::take(&mut self.piece);
                    self.extend(&rest)
                }
            };
            if let Some(split) = split.filter(|split| !is_blank(split)) {
                return Some((self.number, split));
            }
        }
        if self.ended && !self.begun.is_empty() {
            let last = self.complete(Bytes::new());
            return Some((self.number, last)).filter(|(_, split)| !is_blank(split));
        }
        None
    }

    /// A line ends with `rest`.
    fn complete(&mut self, rest: Bytes) -> Split {
        self.number += 1;
        let bytes = self.begun.len() + rest.len();
        let begun = std::mem::take(&mut self.begun);
        if bytes > self.line_bytes_max {
            return Split::TooLong;
        }
        if begun.is_empty() {
            return Split::Line(rest);
        }
        let mut line = begun;
        line.extend_from_slice(&rest);
        Split::Line(line.freeze())
    }

    /// A line goes on with `rest` and beyond.
    fn extend(&mut self, rest: &[u8]) -> Option<Split> {
        if self.skipping {
            return None;
        }
        if self.begun.len() + rest.len() > self.line_bytes_max {
            self.begun = BytesMut::new();
            self.skipping = true;
            self.number += 1;
            return Some(Split::TooLong);
        }
        self.begun.extend_from_slice(rest);
        debug_assert!(self.begun.len() <= self.line_bytes_max);
        None
    }
}

fn is_blank(split: &Split) -> bool {
    matches!(split, Split::Line(line) if line.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(pieces: &[&[u8]], line_bytes_max: usize) -> Vec<(u64, Split)> {
        let mut splitter = Splitter::new(line_bytes_max);
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.push(Bytes::copy_from_slice(piece));
            lines.extend(std::iter::from_fn(|| splitter.next()));
        }
        splitter.end();
        lines.extend(std::iter::from_fn(|| splitter.next()));
        assert!(splitter.is_done());
        lines
    }

    fn line(number: u64, text: &str) -> (u64, Split) {
        (number, Split::Line(Bytes::copy_from_slice(text.as_bytes())))
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_left_out() {
        let expected = vec![line(1, "a"), line(4, "b"), line(5, "c")];
        assert_eq!(split(&[b"a\n\n \r\nb\nc"], 9), expected);
        assert_eq!(split(&[b"a\n\n \r\nb\nc\n\n"], 9), expected);
        assert_eq!(split(&[], 9), vec![]);
    }

    #[test]
    fn a_line_at_the_bound_is_kept_and_one_beyond_is_reported_once() {
        let expected = vec![line(1, "1234"), (2, Split::TooLong), line(3, "x")];
        assert_eq!(split(&[b"1234\n12345678901234567890\nx"], 4), expected);
        assert_eq!(split(&[b"1234\n123", b"45678", b"901234567890\nx"], 4), expected);
        assert_eq!(split(&[b"12345"], 4), vec![(1, Split::TooLong)]);
    }

    #[test]
    fn a_line_within_one_piece_is_a_slice_of_it() {
        let piece = Bytes::from_static(b"abc\n");
        let mut splitter = Splitter::new(9);
        splitter.push(piece.clone());
        let Some((1, Split::Line(found))) = splitter.next() else { panic!("there is one line") };
        assert_eq!(found.as_ptr(), piece.as_ptr());
    }

    proptest! {
        #[test]
        fn the_lines_do_not_depend_on_how_the_bytes_arrive(
            text in "[ab \r\n]{0,60}",
            cuts in proptest::collection::vec(0..60_usize, 0..10),
            line_bytes_max in 1..12_usize,
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(&pieces, line_bytes_max), split(&[bytes], line_bytes_max));
        }
    }
}
