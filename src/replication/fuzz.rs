//! What peers send as a section, as fuzzers feed it: any bytes, merged into a directory.

use crate::config::{Takeover, Tuning};
use crate::directory::SnapshotFrame;
use crate::id::{DeviceId, Incarnation, SessionKey, UserId};
use crate::key::KeyHasher;
use crate::mesh::fuzz::{ME, frames, name};
use crate::replica::{Arriving, Replica};
use crate::replication::frame::SectionFrame;

/// The frames of one subscription, merged into a directory. The first byte says under which policy.
pub(crate) fn section(data: &[u8]) {
    let [policy, stream @ ..] = data else { return };
    let takeover = match policy % 4 {
        0 => Takeover::ExclusiveDevice,
        1 => Takeover::RejectNewer,
        2 => Takeover::OnePerUser,
        _ => Takeover::MaxPerUser(2),
    };
    let (owner, hasher) = (name("peer"), KeyHasher::new(&[0; 32]));
    let names = SessionKey::new(
        UserId::new("u").expect("a letter is a user"),
        DeviceId::new("d").expect("a letter is a device"),
    );
    let key = hasher.key(&names);
    let replica = Replica::new(name(ME), Incarnation(1), hasher, takeover, Tuning::default());
    let _ = replica.claim(key, 5, None, None, |_| {});
    let mut arriving: Option<Arriving<'_>> = None;
    for (frame, _) in frames::<SectionFrame>(stream, 0) {
        let merged = match frame {
            SectionFrame::Head(_) => Ok(Vec::new()),
            SectionFrame::Delta(delta) => match &mut arriving {
                Some(arriving) => arriving.mend(&delta).map(|()| Vec::new()),
                None => replica.merge_delta(&owner, delta),
            },
            SectionFrame::Snapshot(SnapshotFrame::Begin(position)) => {
                arriving = None;
                replica.begin(&owner, position).map(|begun| {
                    arriving = begun;
                    Vec::new()
                })
            }
            SectionFrame::Snapshot(SnapshotFrame::Chunk(entries)) => {
                if let Some(arriving) = &mut arriving {
                    arriving.fill(&entries.0);
                }
                Ok(Vec::new())
            }
            SectionFrame::Snapshot(SnapshotFrame::End { digest, count }) => {
                arriving.take().map_or(Ok(Vec::new()), |arriving| arriving.end(digest, count))
            }
        };
        // A subscription ends with its first error.
        if merged.is_err() {
            break;
        }
    }
    assert_eq!(replica.own_len(), 1, "nobody writes this node's section but itself");
    let _ = (replica.counts(), replica.audit(), replica.page(None, 9));
}
