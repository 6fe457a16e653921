//! The body of `POST /v1/push`, as fuzzers feed it.

use bytes::Bytes;

use super::line;
use super::splitter::{Split, Splitter};
use crate::push::Wait;

/// Lines of JSON. The first byte says how long one may be, the second in what pieces the body arrives.
pub(in crate::gateway) fn ndjson(data: &[u8]) {
    let [line_bytes_max, piece, body @ ..] = data else { return };
    let line_bytes_max = usize::from(*line_bytes_max);
    let piece = usize::from(*piece) + 1;
    let lines = split(body.chunks(piece), line_bytes_max);
    assert_eq!(lines, split([body].into_iter(), line_bytes_max), "where a body is cut changes what it says");
    let numbers: Vec<_> = lines.iter().map(|(number, _)| *number).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "lines are numbered as they come: {numbers:?}");
    for (_, split) in lines {
        let Split::Line(text) = split else { continue };
        assert!(text.len() <= line_bytes_max, "no longer line is kept");
        if let Ok(line) = line::parse(&text, PAYLOAD_BYTES_MAX, Wait::default()) {
            assert!(line.payload.bytes.len() <= PAYLOAD_BYTES_MAX, "no longer payload is pushed");
        }
    }
}

fn split<'a>(pieces: impl Iterator<Item = &'a [u8]>, line_bytes_max: usize) -> Vec<(u64, Split)> {
    let (mut splitter, mut lines) = (Splitter::new(line_bytes_max), Vec::new());
    for piece in pieces {
        splitter.push(Bytes::copy_from_slice(piece));
        lines.extend(std::iter::from_fn(|| splitter.next()));
    }
    splitter.end();
    lines.extend(std::iter::from_fn(|| splitter.next()));
    assert!(splitter.is_done(), "all was cut");
    lines
}

/// Short, so that a fuzzer meets it.
const PAYLOAD_BYTES_MAX: usize = 16;
