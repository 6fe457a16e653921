//! Golden frames still decode.

use super::*;
use crate::directory::{Claim, ClaimState, Entry};
use crate::id::{DeviceId, Incarnation, SessionKey, Stamp, UserId};
use crate::key::{Key, KeyHasher};
use crate::mesh::codec::tests::golden;
use crate::section::Packed;

fn key() -> Key {
    KeyHasher::new(&[7; 32])
        .key(&SessionKey::new(UserId::new("42").unwrap(), DeviceId::new("phone").unwrap()))
}

fn claim() -> Claim {
    Claim { stamp: Stamp::from_raw(1_795_000_000_000 << 16), state: ClaimState::Connected }
}

#[test]
fn golden_directory_frames_still_decode() {
    let position = Position { incarnation: Incarnation(7), version: 3 };
    let owner = NodeName::new("n1").unwrap();
    let subscribe = Subscribe { owner: owner.clone(), position, follow: true };
    golden(&subscribe, b"", include_str!("golden/subscribe.hex").trim());
    let digest = Digest { position, hash: claim().hash(&key()) };
    golden(&SectionFrame::Head(digest), b"", include_str!("golden/head.hex").trim());
    golden(&DigestsFrame(vec![(owner, digest)]), b"", include_str!("golden/digests.hex").trim());
    let delta = Delta {
        incarnation: Incarnation(7),
        from: 1,
        to: 3,
        hash: 5,
        upserts: Packed(vec![Entry { key: key(), claim: claim() }]),
        removes: Packed(vec![key()]),
    };
    golden(&SectionFrame::Delta(delta), b"", include_str!("golden/delta.hex").trim());
    let frames = [
        (SnapshotFrame::Begin(position), include_str!("golden/begin.hex")),
        (
            SnapshotFrame::Chunk(Packed(vec![Entry { key: key(), claim: claim() }])),
            include_str!("golden/chunk.hex"),
        ),
        (SnapshotFrame::End { digest, count: 1 }, include_str!("golden/end.hex")),
    ];
    for (frame, hex) in frames {
        golden(&SectionFrame::Snapshot(frame), b"", hex.trim());
    }
}
