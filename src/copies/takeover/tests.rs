//! What becomes of a client that waits for a takeover.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Takeover as Policy;
use crate::copies::frame::LogAnswer;
use crate::copies::group::group_of;
use crate::copies::takeovers::Earlier;
use crate::copies::{Copies, CopiesParts, Former};
use crate::id::{DeviceId, Incarnation, NodeName, SessionKey, Stamp, UserId};
use crate::key::KeyHasher;
use crate::limits;
use crate::membership::roster::Roster;
use crate::metrics::Metrics;
use crate::metrics::label::ResumedAs;
use crate::position::{Position, Segment, Writer};
use crate::quorum::{Boot, Config, SealAnswer};
use crate::session::{self, Log, OutboxLimits, Registry, Returning, Session, Store, StoreBounds};
use crate::vital::Vitals;

fn boot(name: &str) -> Boot {
    Boot { name: NodeName::new(name).unwrap(), incarnation: Incarnation(1) }
}

fn copies_of(me: &Boot, store: &Arc<Store>, metrics: &Arc<Metrics>) -> Arc<Copies> {
    Copies::new(CopiesParts {
        me: me.clone(),
        wants: 2,
        keep_max: limits::KEEP_MAX,
        zone: None,
        takeover: Policy::default(),
        registry: Arc::new(Registry::new(me.name.clone(), 9)),
        roster: Arc::new(Roster::default()),
        store: Arc::clone(store),
        metrics: Arc::clone(metrics),
        vitals: Vitals::new(Arc::clone(metrics)),
        resume_timeout: Duration::from_secs(2),
        copied_after: limits::COPIED_AFTER,
    })
}

// In a storm of clients the last answer and the welcome came at once, and a third of them were told `partial`.
#[tokio::test]
async fn a_client_that_is_told_while_the_last_answer_waits_learns_that_nothing_is_missing() {
    let (me, owner, member) = (boot("a"), boot("o"), boot("b"));
    let metrics = Arc::new(Metrics::new());
    let bounds = StoreBounds { messages_max: 9, bytes_max: 99, node_bytes_max: 9_999 };
    let store = Arc::new(Store::new(bounds, Arc::clone(&metrics)));
    let copies = copies_of(&me, &store, &metrics);
    let names = SessionKey::new(UserId::new("u").unwrap(), DeviceId::new("d").unwrap());
    let key = KeyHasher::new(&[0; 32]).key(&names);
    let before = Segment::of(&owner.name, owner.incarnation, Stamp::from_raw(1));
    let after = vec![Position { segment: before, number: 0 }];
    let (stamp, writer) = (Stamp::from_raw(2), Writer::of(&me.name, me.incarnation));
    let log = Log::new((stamp, writer), 60, Returning { token: Some(before), after }, store);
    let outbox = OutboxLimits { messages_max: 9, bytes_max: 99 };
    let session = Arc::new(Session::new(names, key, stamp, None, outbox, Some(log)));

    let config = Config { epoch: 1, members: vec![member.clone()] };
    copies.announced(&owner, group_of(key), &config);
    let mut progress =
        copies.take_over(&session, Former { owners: vec![owner.clone()], shown: Some(before.stamp) });
    let (configs, entries, beyond) = Default::default();
    let answer = SealAnswer::Tail { epoch: 1, configs, entries, beyond };
    copies.answered(&member, LogAnswer::Sealed { owner, key, claim: stamp, answer });
    copies.opened(&session, Earlier { all: vec![before], silent: vec![before] });
    let told = session.open(&session::Earlier { sealing: true, ..session::Earlier::default() });
    assert_eq!(told, Some(ResumedAs::Pending));
    // It is over when nobody tells of its progress any more.
    while progress.changed().await.is_ok() {}
    assert!(progress.borrow().complete);
    assert_eq!(session.welcome().map(|welcome| welcome.resumed.state), Some(ResumedAs::Complete));
}
