//! What becomes of a client that waits for a takeover.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Takeover as Policy;
use crate::copies::frame::{LogAnswer, LogFrame};
use crate::copies::group::group_of;
use crate::copies::takeovers::Earlier;
use crate::copies::{Copies, CopiesParts, Former, Progress};
use crate::id::{DeviceId, Incarnation, MessageId, NodeName, SessionKey, Stamp, UserId};
use crate::key::KeyHasher;
use crate::limits;
use crate::membership::roster::Roster;
use crate::metrics::Metrics;
use crate::metrics::label::ResumedAs;
use crate::position::{Position, Segment, Writer};
use crate::push::{Message, Payload};
use crate::quorum::{Boot, Config, Entry, Fence, SealAnswer, ToMember};
use crate::session::{
    self, Copied, Copying, Log, OutboxLimits, Registry, Returning, Session, Store, StoreBounds,
};
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

/// A takeover of the session of a user, whose former owner `o` had one member, `b`.
struct Taken {
    copies: Arc<Copies>,
    session: Arc<Session>,
    before: Segment,
    member: Boot,
    owner: Boot,
    progress: watch::Receiver<Progress>,
}

fn take_over(store: Arc<Store>, metrics: &Arc<Metrics>) -> Taken {
    take_over_with(store, metrics, [], true)
}

/// The same, where the own group holds these messages, and there was another owner or not.
fn take_over_with(
    store: Arc<Store>,
    metrics: &Arc<Metrics>,
    held: impl IntoIterator<Item = Copied>,
    others: bool,
) -> Taken {
    let (me, owner, member) = (boot("a"), boot("o"), boot("b"));
    let copies = copies_of(&me, &store, metrics);
    let before = Segment::of(&owner.name, owner.incarnation, Stamp::from_raw(1));
    let session = returning(2, before, store);
    let key = session.key();
    copies.announced(&owner, group_of(key), &Config { epoch: 1, members: vec![member.clone()] });
    for (number, message) in (1..).zip(held) {
        copies.append(key, before.stamp, Position { segment: before, number }, message);
    }
    let owners = if others { vec![owner.clone()] } else { Vec::new() };
    let former = Former { owners, shown: Some(before.stamp) };
    let progress = copies.take_over(&session, former);
    Taken { copies, session, before, member, owner, progress }
}

/// The session of a client that has shown that segment, with that stamp.
fn returning(stamp: u64, before: Segment, store: Arc<Store>) -> Arc<Session> {
    let names = SessionKey::new(UserId::new("u").unwrap(), DeviceId::new("d").unwrap());
    let key = KeyHasher::new(&[0; 32]).key(&names);
    let after = vec![Position { segment: before, number: 0 }];
    let (me, stamp) = (boot("a"), Stamp::from_raw(stamp));
    let writer = Writer::of(&me.name, me.incarnation);
    let log = Log::new((stamp, writer), 60, Returning { token: Some(before), after }, store);
    let outbox = OutboxLimits { messages_max: 9, bytes_max: 99 };
    Arc::new(Session::new(names, key, stamp, None, outbox, Some(log)))
}

impl Taken {
    /// The member says what it holds.
    fn answer(&self, entries: Vec<Entry<Copied>>) {
        let (configs, beyond) = Default::default();
        self.say(SealAnswer::Tail { epoch: 1, configs, entries, beyond });
    }

    fn say(&self, answer: SealAnswer<Copied>) {
        let (owner, key, claim) = (self.owner.clone(), self.session.key(), self.session.stamp());
        self.copies.answered(&self.member, LogAnswer::Sealed { owner, key, claim, answer });
    }
}

fn copied(bytes: usize) -> Copied {
    let payload = Payload::text("x".repeat(bytes));
    let message = Arc::new(Message::new(MessageId::new("m").unwrap(), false, payload));
    Copied { message, expires: None, keep: 60, room: None }
}

fn store(node_bytes_max: usize, metrics: &Arc<Metrics>) -> Arc<Store> {
    let bounds = StoreBounds { messages_max: 9, bytes_max: 99, node_bytes_max };
    Arc::new(Store::new(bounds, Arc::clone(metrics)))
}

// In a storm of clients the last answer and the welcome came at once, and a third of them were told `partial`.
#[tokio::test]
async fn a_client_that_is_told_while_the_last_answer_waits_learns_that_nothing_is_missing() {
    let metrics = Arc::new(Metrics::new());
    let mut taken = take_over(store(9_999, &metrics), &metrics);
    taken.answer(Vec::new());
    let Taken { copies, session, before, progress, .. } = &mut taken;
    copies.opened(session, Earlier { all: vec![*before], silent: vec![*before] });
    let told = session.open(&session::Earlier { sealing: true, ..session::Earlier::default() });
    assert_eq!(told, Some(ResumedAs::Pending));
    // It is over when nobody tells of its progress any more.
    while progress.changed().await.is_ok() {}
    assert!(progress.borrow().complete);
    assert_eq!(session.welcome().map(|welcome| welcome.resumed.state), Some(ResumedAs::Complete));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_is_taken_once_it_has_and_nobody_is_told_before_that_nothing_is_missing() {
    let metrics = Arc::new(Metrics::new());
    let store = store(2 * limits::KEPT_MESSAGE_OVERHEAD + 1_000, &metrics);
    let mut taken = take_over(Arc::clone(&store), &metrics);
    let others = store.room(800).expect("nothing is held yet");
    let at = Position { segment: taken.before, number: 1 };
    let message = copied(400);
    taken.answer(vec![Entry { key: taken.session.key(), claim: taken.before.stamp, at, message }]);
    let Taken { session, progress, .. } = &mut taken;
    progress.wait_for(|progress| progress.taken).await.unwrap();
    assert!(!progress.borrow().complete && !session.holds(at));
    drop(others);
    progress.wait_for(|progress| progress.complete).await.unwrap();
    assert!(session.holds(at));
}

// What it took once more its client had acknowledged meanwhile, and the members of its node held it on.
#[tokio::test(start_paused = true)]
async fn a_takeover_takes_nothing_more_once_a_later_claim_of_its_node_takes_the_session_over() {
    let metrics = Arc::new(Metrics::new());
    let store = store(9_999, &metrics);
    let mut taken = take_over(Arc::clone(&store), &metrics);
    let at = Position { segment: taken.before, number: 1 };
    let (key, claim) = (taken.session.key(), taken.before.stamp);
    let entries = vec![Entry { key, claim, at, message: copied(4) }];
    // Another owner may have something that stands before it.
    taken.say(SealAnswer::Tail { epoch: 1, configs: Vec::new(), entries, beyond: vec![boot("p")] });
    tokio::task::yield_now().await;
    let next = returning(3, taken.before, store);
    let former = Former { owners: vec![taken.owner.clone()], shown: Some(claim) };
    let _progress = taken.copies.take_over(&next, former);
    while taken.progress.changed().await.is_ok() {}
    assert!(!taken.session.holds(at));
    assert_eq!(taken.copies.group(group_of(key)).owner.held(key).count(), 0);
}

// The client had not shown enough for what another owner's members held, and what its own node held was never brought.
#[tokio::test(start_paused = true)]
async fn what_the_own_group_holds_is_taken_also_where_another_one_refuses() {
    for room in [9_999, 0] {
        let metrics = Arc::new(Metrics::new());
        let store = store(room.max(limits::KEPT_MESSAGE_OVERHEAD + 100), &metrics);
        let others = (room == 0).then(|| store.room(100).expect("nothing is held yet"));
        let mut taken = take_over_with(Arc::clone(&store), &metrics, [copied(40)], true);
        let at = Position { segment: taken.before, number: 1 };
        assert!(!taken.session.holds(at), "others may have some that stand before it");
        taken.say(SealAnswer::Refused(None));
        drop(others);
        let Taken { session, progress, .. } = &mut taken;
        while progress.changed().await.is_ok() {}
        assert!(session.holds(at) && !progress.borrow().complete);
    }
}

// A node that kept a session for a client that was elsewhere stored what was pushed there, and nobody came for it.
#[tokio::test]
async fn a_claim_that_is_refused_for_another_one_stores_nothing() {
    let metrics = Arc::new(Metrics::new());
    let store = store(9_999, &metrics);
    let mut taken = take_over(Arc::clone(&store), &metrics);
    let (key, stamp) = (taken.session.key(), taken.session.stamp());
    let fence = Fence { stamp: Stamp::from_raw(9), by: boot("c") };
    taken.say(SealAnswer::Refused(Some(fence.clone())));
    while taken.progress.changed().await.is_ok() {}
    let held = || taken.copies.group(group_of(key)).owner.held(key).count();
    let at = Position { segment: Segment::of(&boot("a").name, Incarnation(1), stamp), number: 1 };
    taken.copies.append(key, stamp, at, copied(1));
    assert_eq!(held(), 0);
    assert_eq!(taken.copies.group(group_of(key)).owner.taken_by(key), Some(&fence));
    let next = returning(10, taken.before, store);
    let _progress = taken.copies.take_over(&next, Former::default());
    taken.copies.append(key, next.stamp(), at, copied(1));
    assert_eq!(held(), 1, "a later claim does");
}

// What was told with the claim was never sent to the members, and they took nothing more.
#[tokio::test]
async fn a_claim_below_one_that_is_known_loses_nothing_of_what_its_group_has_to_send() {
    let metrics = Arc::new(Metrics::new());
    let store = store(9_999, &metrics);
    let copies = copies_of(&boot("a"), &store, &metrics);
    let before = Segment::of(&boot("a").name, Incarnation(1), Stamp::from_raw(1));
    let session = returning(2, before, store);
    let (key, member) = (session.key(), boot("b"));
    let group = group_of(key);
    let outbox = copies.peers.open(&member);
    copies.act(group, |owner| owner.change(vec![member.clone()]));
    copies.append(key, before.stamp, Position { segment: before, number: 1 }, copied(1));
    copies.append(key, before.stamp, Position::of_absence(before.stamp), copied(1));
    copies.act(group, |owner| owner.depose(key, Fence { stamp: Stamp::from_raw(9), by: boot("c") }));
    let _progress = copies.take_over(&session, Former::default());
    copies.act(group, |owner| owner.trim(key, Position { segment: before, number: 1 }));
    let frames = outbox.take().await.expect("the stream is open");
    let places = frames.iter().filter_map(|frame| match frame {
        LogFrame::ToMember { frame: ToMember::Logged { place, .. }, .. } => Some(*place),
        _ => None,
    });
    let places: Vec<_> = places.collect();
    let all: Vec<_> = (places[0]..).take(places.len()).collect();
    assert!(places.len() > 1 && places == all, "{places:?}");
}

// A message in the middle whose time was over was taken for one that the client has, and so were all before it: others held them no more, and
// with their owner they were lost.
#[tokio::test(start_paused = true)]
async fn a_message_whose_time_is_over_says_nothing_of_those_before_it() {
    for others in [true, false] {
        let metrics = Arc::new(Metrics::new());
        let over = Copied { expires: Some(Instant::now()), ..copied(1) };
        let mut taken =
            take_over_with(store(9_999, &metrics), &metrics, [copied(1), over, copied(1)], others);
        if others {
            taken.answer(Vec::new());
        }
        taken.progress.wait_for(|progress| progress.complete).await.unwrap();
        let at = |number| Position { segment: taken.before, number };
        assert!([1, 3].iter().all(|number| taken.session.holds(at(*number))));
        let key = taken.session.key();
        let held: Vec<_> = taken.copies.group(group_of(key)).owner.held(key).map(|entry| entry.at).collect();
        assert!(held.contains(&at(1)) && held.contains(&at(3)), "others: {others}, {held:?}");
    }
}
