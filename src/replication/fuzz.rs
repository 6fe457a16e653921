//! What peers send as a section, as fuzzers feed it: any bytes, merged into a directory.

use std::sync::Arc;

use crate::config::{Takeover, Tuning};
use crate::directory::SnapshotFrame;
use crate::id::{DeviceId, Incarnation, SessionKey, UserId};
use crate::key::KeyHasher;
use crate::mesh::fuzz::{ME, frames, name};
use crate::replica::Replica;
use crate::replication::frame::SectionFrame;
use crate::replication::taking::Taking;

/// The frames of one subscription, merged into a directory. The first byte says under which policy.
pub(crate) fn section(data: &[u8]) {
    let [policy, stream @ ..] = data else { return };
    let takeover = match policy % 4 {
        0 => Takeover::ExclusiveDevice,
        1 => Takeover::RejectNewer,
        2 => Takeover::OnePerUser,
        _ => Takeover::MaxPerUser(2),
    };
    let hasher = KeyHasher::new(&[0; 32]);
    let names = SessionKey::new(
        UserId::new("u").expect("a letter is a user"),
        DeviceId::new("d").expect("a letter is a device"),
    );
    let key = hasher.key(&names);
    let replica = Arc::new(Replica::new(name(ME), Incarnation(1), hasher, takeover, Tuning::default()));
    let _ = replica.claim(key, 5, None, None, None, |_| {});
    let frames = frames::<SectionFrame>(stream, 0);
    let boot = frames.iter().find_map(|(frame, _)| match frame {
        SectionFrame::Snapshot(SnapshotFrame::Begin(position)) => Some(position.incarnation),
        _ => None,
    });
    let mut taking = Taking::new(&replica, name("peer"), boot.unwrap_or_default(), true);
    for (frame, _) in frames {
        // A subscription ends with its first error.
        if taking.take(frame).is_err() {
            break;
        }
    }
    assert_eq!(replica.own_len(), 1, "nobody writes this node's section but itself");
    let _ = (replica.counts(), replica.audit(), replica.page(None, 9));
}
