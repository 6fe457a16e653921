//! Sections and comparisons of a hostile member.

use super::*;

fn entry(number: u64) -> Entry {
    let user = UserId::new(number.to_string()).unwrap();
    let names = SessionKey::new(user, DeviceId::new("d").unwrap());
    let claim = Claim { stamp: Stamp::from_raw(9), state: ClaimState::Connected };
    Entry { key: KeyHasher::new(&[0; 32]).key(&names), claim }
}

#[tokio::test]
async fn a_snapshot_out_of_order_ends_the_link() {
    let victim = victim(true);
    let evil = Member::link(&victim, "evil").await;
    let mut section = within("the subscription", evil.subscribed()).await;
    let position = Position { incarnation: Incarnation(5), version: 9 };
    let frames = [
        SectionFrame::Head(Digest { position, hash: 1 }),
        SectionFrame::Snapshot(SnapshotFrame::Begin(position)),
        SectionFrame::Snapshot(SnapshotFrame::Chunk(Packed(vec![entry(1), entry(1)]))),
    ];
    for frame in frames {
        write_frame(&mut section, &frame).await.unwrap();
    }
    cut_off(&victim, &evil, "codec").await;
    assert_eq!(victim.replica.len_of(&name("evil")), 0);
}

#[tokio::test]
async fn a_section_that_contradicts_itself_is_not_taken_and_not_asked_for_without_pause() {
    let victim = victim(true);
    let evil = Member::link(&victim, "evil").await;
    let incarnation = Incarnation(5);
    let subscriptions = async {
        for count in 0.. {
            let mut section = evil.subscribed().await;
            let position = Position { incarnation, version: 1 };
            let wrong = Delta {
                incarnation,
                from: 0,
                to: 1,
                hash: 1,
                upserts: Packed(vec![entry(1)]),
                removes: Packed(Vec::new()),
            };
            let _ = write_frame(&mut section, &SectionFrame::Head(Digest { position, hash: 1 })).await;
            let _ = write_frame(&mut section, &SectionFrame::Delta(wrong)).await;
            let _ = section.finish();
            if count == 4 {
                return;
            }
        }
    };
    let begun = tokio::time::Instant::now();
    within("five subscriptions", subscriptions).await;
    let pauses = limits::SUBSCRIBE_AGAIN_MIN * (1 + 2 + 4 + 8);
    assert!(begun.elapsed() >= pauses, "five subscriptions within {:?}", begun.elapsed());
    assert!(victim.metrics.render().contains("pushmesh_directory_diverged_total"));
    let honest = Member::link(&victim, "honest").await;
    within("a subscription to another", honest.subscribed()).await;
}
