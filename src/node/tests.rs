//! What it takes two nodes to see, from the inside: who stays of two sessions of one key.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use crate::config::{Config, Takeover};
use crate::directory::{ClaimState, Lost, Owned, Rival};
use crate::id::{ClusterName, DeviceId, MessageId, NodeName, SessionKey, Stamp, UserId};
use crate::node::Node;
use crate::ownership::{self, Ask, Question};
use crate::push::{Message, Outcome, Payload};
use crate::receipt::{Answer, Reply, replying};
use crate::replica::HeldByAnother;
use crate::router::{Claimant, Keeping, Lease};
use crate::session::{CloseReason, OutboxLimits, Returning, Session};
use crate::wire::Wire;

mod again;
mod faults;
mod handle;
mod harness;
mod hostile;
mod threads;
mod versions;

use harness::{PATIENCE, until};

const LIMITS: OutboxLimits = OutboxLimits { messages_max: 9, bytes_max: 99 };

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn names() -> SessionKey {
    SessionKey::new(UserId::new("u").unwrap(), DeviceId::new("d").unwrap())
}

async fn node(me: &str, cluster: &str, peers: Vec<String>) -> Node {
    let config = Config {
        cluster: ClusterName::new(cluster).unwrap(),
        takeover: Takeover::RejectNewer,
        peers,
        ..Config::dev(name(me))
    };
    let wire = Wire::bind(config.listen, config.mesh_listen).await.unwrap();
    let node = Node::start(config, wire).await.unwrap();
    timeout(PATIENCE, node.ready()).await.unwrap();
    node
}

/// The nodes a and b.
async fn pair(cluster: &str) -> [Node; 2] {
    let a = node("a", cluster, Vec::new()).await;
    let b = node("b", cluster, vec![a.mesh_addr().to_string()]).await;
    [a, b]
}

/// The session `u/d`, opened at a node.
async fn open(node: &Node, resumed: Option<Stamp>) -> Lease {
    try_open(node, resumed).await.unwrap()
}

async fn try_open(node: &Node, resumed: Option<Stamp>) -> Result<Lease, HeldByAnother> {
    let permit = node.shared.registry.permit().unwrap();
    let claimant = Claimant { resumed, ..Claimant::default() };
    node.shared.router.open(names(), claimant, Some(permit)).await
}

/// Waits until a node shows that claim.
async fn shows(node: &Node, stamp: Stamp) -> Owned {
    let until = Instant::now() + PATIENCE;
    loop {
        match node.shared.replica.lookup_named(&names()) {
            Some(owned) if owned.stamp == stamp => return owned,
            shown => assert!(Instant::now() < until, "it shows {shown:?}"),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// A session that a node could have, above `stamp`, and that its directory does not know.
fn newer(node: &Node, stamp: Stamp) -> Arc<Session> {
    let key = node.shared.replica.hasher().key(&names());
    Arc::new(Session::new(names(), key, Stamp::next(0, Some(stamp)), None, LIMITS, None))
}

/// A node is told, twice, that its session lost against that claim.
fn lose(node: &Node, session: &Arc<Session>, winner: &Owned) {
    assert!(node.shared.registry.insert(session).is_none());
    let lost = Lost {
        key: session.key(),
        stamp: session.stamp(),
        winner: winner.owner.clone(),
        winner_stamp: winner.stamp,
        rival: Rival::SameDevice,
    };
    node.shared.router.supersede(vec![lost.clone(), lost]);
}

#[tokio::test]
async fn an_owner_confirms_the_session_of_that_very_claim_and_no_other_of_the_key() {
    let [a, b] = pair("confirms").await;
    let held = open(&a, None).await;
    let (stamp, device) = (shows(&b, held.session().stamp()).await.stamp, held.session().key().device);
    let asked = async |owner: &str, stamp| {
        let question = Question::Confirm { device, stamp };
        let ask = Ask { number: 7, owner: name(owner), question };
        b.shared.router.asked(names(), ask, Instant::now() + PATIENCE).await
    };
    let over = Stamp::from_raw(stamp.raw() - 1);
    assert_eq!(
        asked("a", over).await,
        (7, ownership::Answer::No),
        "the owner holds a later session of the key"
    );
    assert_eq!(asked("a", stamp).await, (7, ownership::Answer::Yes));
    assert_eq!(
        asked("b", stamp).await,
        (7, ownership::Answer::Moved { owner: name("a"), stamp }),
        "it is asked itself"
    );
    held.session().close(CloseReason::Kicked);
    assert_eq!(asked("a", stamp).await, (7, ownership::Answer::No), "who is closing stays for nobody");
    assert_eq!(asked("c", stamp).await, (7, ownership::Answer::Silent), "nor does who does not answer");
}

#[tokio::test]
async fn a_session_that_lets_go_for_a_client_that_goes_meanwhile_is_owned_where_it_was_asked_for() {
    let [a, b] = pair("gives-up").await;
    let kept = || Some(Keeping { seconds: 60, returning: Returning::default() });
    let opens = |node: &Node, resumed| {
        let claimant = Claimant { resumed, kept: kept(), ..Claimant::default() };
        let router = Arc::clone(&node.shared.router);
        async move { router.open(names(), claimant, None).await }
    };
    let held = opens(&a, None).await.unwrap();
    let session = Arc::clone(held.session());
    drop(held);
    shows(&b, session.stamp()).await;
    // The owner is asked, and nobody waits for what it says.
    assert!(opens(&b, Some(session.stamp())).now_or_never().is_none());
    for node in [&a, &b] {
        let owned = || node.shared.replica.lookup_named(&names());
        let is_parked = |owned: Owned| owned.owner == name("b") && owned.state == ClaimState::Parked;
        until("it is parked at the other node", || owned().is_some_and(is_parked)).await;
    }
}

#[tokio::test]
async fn a_second_session_of_a_key_is_looked_at_while_the_first_one_is_disputed() {
    let [a, b] = pair("disputes").await;
    let held = open(&a, None).await;
    let shown = shows(&b, held.session().stamp()).await;
    let lose = |session: &Arc<Session>| lose(&b, session, &shown);
    let first = newer(&b, shown.stamp);
    lose(&first);
    first.close(CloseReason::ClientGone);
    b.shared.registry.remove(&first);
    let second = newer(&b, shown.stamp);
    lose(&second);
    timeout(PATIENCE, second.closed()).await.expect("the owner of the older claim is asked");
    let superseded = CloseReason::Superseded { owner: name("a"), stamp: shown.stamp };
    assert_eq!(second.closing(), Some(superseded));
    assert_eq!(held.session().closing(), None);
}

#[tokio::test]
async fn a_dispute_that_panics_is_counted_and_its_session_can_be_disputed_again() {
    let [a, b] = pair("panics").await;
    let held = open(&a, None).await;
    let shown = shows(&b, held.session().stamp()).await;
    let session = newer(&b, shown.stamp);
    let message = Arc::new(Message::new(MessageId::new("m").unwrap(), false, Payload::text("x")));
    session.offer(&message, replying(|_| panic!("on purpose, when the session is closed")));
    lose(&b, &session, &shown);
    let counted = "pushmesh_tasks_failed_total{task=\"dispute\"} 1\n";
    until("the panic is counted", || b.shared.metrics.render().contains(counted)).await;
    until("it can be disputed", || session.begin_dispute()).await;
}

#[tokio::test]
async fn what_a_resumed_session_leaves_behind_stands_for_no_token() {
    let [a, b] = pair("left-behind").await;
    // It is closed soon, and its claim is released after that.
    let first = open(&a, None).await;
    let token = |lease: &Lease| Some(lease.session().stamp());
    shows(&b, first.session().stamp()).await;
    let second = open(&b, token(&first)).await;
    assert_eq!(second.session().closing(), None);
    for node in [&a, &b] {
        shows(node, second.session().stamp()).await;
        for stale in [None, token(&first)] {
            assert!(try_open(node, stale).await.is_err(), "{stale:?}");
        }
    }
    assert_eq!(second.session().closing(), None, "nobody else has its token");
    let third = open(&a, token(&second)).await;
    for node in [&a, &b] {
        shows(node, third.session().stamp()).await;
        assert!(try_open(node, token(&second)).await.is_err());
    }
    let fourth = open(&a, token(&third)).await;
    assert_eq!((third.session().closing().is_some(), fourth.session().closing()), (true, None));
}

#[tokio::test]
async fn a_client_goes_on_from_node_to_node_while_an_older_claim_of_its_own_stands() {
    let [a, b] = pair("goes-on").await;
    let c = node("c", "goes-on", vec![a.mesh_addr().to_string()]).await;
    let first = open(&a, None).await;
    for node in [&b, &c] {
        shows(node, first.session().stamp()).await;
    }
    // As if the node were dead, and nobody knew yet.
    a.shared.registry.remove(first.session());
    let mut last = open(&b, Some(first.session().stamp())).await;
    for hop in 0..20 {
        let node = if hop % 2 == 0 { &c } else { &b };
        shows(node, last.session().stamp()).await;
        let next = try_open(node, Some(last.session().stamp())).await;
        let Ok(next) = next else { panic!("hop {hop}: the last token is refused") };
        assert!(last.session().closing().is_some() && next.session().closing().is_none());
        last = next;
    }
}

#[tokio::test]
async fn a_token_ends_its_own_session_and_no_later_one_that_is_not_shown_yet() {
    let [a, b] = pair("not-shown").await;
    let first = open(&a, None).await;
    let stamp = first.session().stamp();
    shows(&b, stamp).await;
    let later = newer(&b, stamp);
    assert!(b.shared.registry.insert(&later).is_none());
    let (device, rival) = (later.key().device, Rival::SameDevice);
    let question = Question::Yield { device, below: stamp.after(), rival };
    let ends_at = |owner: &str| Ask { number: 7, owner: name(owner), question };
    let asked = a.shared.router.asked(names(), ends_at("b"), Instant::now() + PATIENCE).await;
    let stays = ownership::Answer::Moved { owner: name("b"), stamp: later.stamp() };
    assert_eq!((asked, later.closing()), ((7, stays), None));
    let asked = b.shared.router.asked(names(), ends_at("a"), Instant::now() + PATIENCE).await;
    assert_eq!(asked, (7, ownership::Answer::Yes));
    let superseded = CloseReason::Superseded { owner: name("b"), stamp: stamp.after() };
    assert_eq!(first.session().closing(), Some(superseded));
    let until = Instant::now() + PATIENCE;
    while shows(&b, stamp).await.state != ClaimState::Yielded {
        assert!(Instant::now() < until, "what has yielded is told to others");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A reply whose caller looks whether the directory's lock is free when it is answered.
fn curious(node: &Node) -> (Reply, oneshot::Receiver<(Answer, bool)>) {
    let (told, answer) = oneshot::channel();
    let replica = Arc::clone(&node.shared.replica);
    let reply = replying(move |answer| {
        let (sender, looked) = std::sync::mpsc::sync_channel(1);
        spawn_blocking(move || {
            let _ = replica.own_len();
            sender.send(())
        });
        let _ = told.send((answer, looked.recv_timeout(Duration::from_secs(5)).is_ok()));
    });
    (reply, answer)
}

#[tokio::test]
async fn a_session_that_is_replaced_answers_outside_of_the_directorys_lock() {
    let node = node("a", "replaced", Vec::new()).await;
    let first = open(&node, None).await;
    let (reply, answer) = curious(&node);
    let message = Message::new(MessageId::new("m").unwrap(), false, Payload::text("x"));
    first.session().offer(&Arc::new(message), reply);
    let second = open(&node, Some(first.session().stamp())).await;
    let (answer, free) = answer.await.unwrap();
    assert!(free, "the lock is held while whoever pushed is told");
    let moved = Outcome::Moved { owner: name("a"), stamp: second.session().stamp() };
    assert_eq!(answer, Answer::Outcomes(vec![moved]));
}
