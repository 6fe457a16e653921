//! The fuzz targets: functions that take any bytes and panic where a decoder does what it must not.
//!
//! `tests/corpus.rs` calls them with the stored inputs, the targets in `fuzz/` with new ones.

use crate::mesh::frame::{HelloAnswer, Probe, ProbeAnswer, Receipts};
use crate::mesh::fuzz::frames;
use crate::replication::frame::{DigestsFrame, SectionFrame, Subscribe};
use crate::router::frame::Request;

/// A fuzz target by its name.
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// All of them.
pub const FUZZ_TARGETS: [FuzzTarget; 12] = [
    ("certificate", crate::mesh::fuzz::certificate),
    ("codec", codec),
    ("envelope", crate::gateway::fuzz::envelope),
    ("gossip", crate::mesh::fuzz::gossip),
    ("hello", crate::mesh::fuzz::hello),
    ("jwks", crate::token::fuzz::jwks),
    ("log", crate::copies::fuzz::log),
    ("ndjson", crate::gateway::fuzz::ndjson),
    ("resume", crate::token::fuzz::resume),
    ("section", crate::replication::fuzz::section),
    ("token", crate::token::fuzz::token),
    ("url", crate::gateway::fuzz::url),
];

/// Feeds `data` to the target of that name.
///
/// # Panics
/// When the decoder does what it must not, and when there is no such target.
pub fn fuzz(target: &str, data: &[u8]) {
    let target = FUZZ_TARGETS.iter().find(|(name, _)| *name == target).expect("a target has this name");
    target.1(data);
}

/// A stream of frames. The first byte says of which, the second where it is cut in two.
fn codec(data: &[u8]) {
    let [kind, cut, stream @ ..] = data else { return };
    match kind % 8 {
        0 => {
            for (request, _) in frames::<Request>(stream, *cut) {
                // What a link answers is bounded by this.
                let _ = request.recipients.check();
            }
        }
        1 => _ = frames::<Receipts>(stream, *cut),
        2 => _ = frames::<Subscribe>(stream, *cut),
        3 => _ = frames::<DigestsFrame>(stream, *cut),
        4 => _ = frames::<SectionFrame>(stream, *cut),
        5 => _ = frames::<HelloAnswer>(stream, *cut),
        6 => _ = frames::<Probe>(stream, *cut),
        _ => _ = frames::<ProbeAnswer>(stream, *cut),
    }
}
