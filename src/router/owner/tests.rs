//! What an owner does at sessions whose earlier owners have not handed over yet, and at those of one login.

use std::sync::Mutex;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::*;
use crate::attributes::{Attributes, Changed, MergePatch};
use crate::config::{Takeover, Tuning};
use crate::directory::{Claim, ClaimState, Entry};
use crate::id::{DeviceId, Incarnation};
use crate::key::KeyHasher;
use crate::metrics::Metrics;
use crate::position::{Segment, Writer};
use crate::section::{Digest, Position};
use crate::session::{Earlier, HandedAttributes, OutboxLimits, TailPart};

struct Fixture {
    owner: Owner,
    registry: Arc<Registry>,
    replica: Arc<Replica>,
    hasher: KeyHasher,
}

impl Fixture {
    fn new() -> Self {
        let name = NodeName::new("n1").unwrap();
        let hasher = KeyHasher::new(&[0; 32]);
        let registry = Arc::new(Registry::new(name.clone(), 9));
        let (takeover, tuning) = (Takeover::default(), Tuning::default());
        let replica = Arc::new(Replica::new(name.clone(), Incarnation(1), hasher.clone(), takeover, tuning));
        let vitals = Vitals::new(Arc::new(Metrics::new()));
        let threads = Threads::current();
        let owner =
            Owner::new(name, Arc::clone(&registry), Arc::clone(&replica), &threads, &vitals, Tracer::none());
        Self { owner, registry, replica, hasher }
    }

    /// The directory shows that claim of a peer, and no other one of it.
    fn shows(&self, owner: &NodeName, key: Key, stamp: u64) {
        let position = Position { incarnation: Incarnation(1), version: 1 };
        let claim = Claim { stamp: Stamp::from_raw(stamp), state: ClaimState::Connected };
        let mut arriving = self.replica.begin(owner, position).unwrap().unwrap();
        arriving.fill(&[Entry { key, claim }]);
        arriving.end(Digest { position, hash: claim.hash(&key) }, 1).unwrap();
    }

    fn session(&self, device: &str, login: Option<&str>) -> Arc<Session> {
        let names = SessionKey::new(UserId::new("u").unwrap(), DeviceId::new(device).unwrap());
        let key = self.hasher.key(&names);
        let limits = OutboxLimits { messages_max: 9, bytes_max: 99 };
        let session = Session::new(names, key, Stamp::from_raw(7), None, limits, None);
        let session = Arc::new(session.of_login(login.map(|login| LoginId::new(login).unwrap())));
        self.registry.insert(&session);
        session
    }

    fn ask(&self, session: &Session, operation: &Operation) -> oneshot::Receiver<Answer> {
        let (done, answer) = oneshot::channel();
        let recipients = Recipients::Session(session.names().clone());
        self.owner.execute(&recipients, operation, Done::Waiting(done));
        answer
    }
}

/// Notes to whom something is offered.
#[derive(Default)]
struct Offers(Mutex<Vec<NodeName>>);

impl Succession for Offers {
    fn hand_over(&self, _: &Arc<Session>) {}

    fn offer(&self, _: Key, asker: &NodeName) -> Option<BoxFuture<'static, bool>> {
        self.0.lock().unwrap().push(asker.clone());
        Some(async { true }.boxed())
    }

    fn adopt(&self, _: SessionKey, _: Adoption, reply: Reply) {
        reply.answer(Outcome::NoSession);
    }
}

fn attributes(text: &str) -> Attributes {
    Attributes::parse(text).unwrap()
}

fn merge(patch: &str) -> Operation {
    Operation::Attributes(Arc::new(Change::Merge(MergePatch::parse(patch).unwrap())))
}

fn are(text: &str) -> Result<Answer, oneshot::error::RecvError> {
    Ok(Answer::Attributes(Changed::Are(attributes(text))))
}

/// What the owner of the stamp 3 hands over.
fn handed(text: &str) -> TailPart {
    let changed = Stamp::from_raw(3);
    TailPart {
        of: Segment { stamp: changed, writer: Writer::from_raw(1) },
        index: 0,
        inherited: Vec::new(),
        sealed: Vec::new(),
        runs: Vec::new(),
        recent: Vec::new(),
        attributes: Some(HandedAttributes { changed, attributes: attributes(text) }),
        done: true,
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_waits_until_earlier_owners_have_handed_over_or_are_late() {
    let fixture = Fixture::new();
    let session = fixture.session("phone", None);
    let mut answer = fixture.ask(&session, &merge(r#"{"b":2}"#));
    tokio::task::yield_now().await;
    assert!((&mut answer).now_or_never().is_none(), "what it is merged into is on its way");
    assert_eq!(session.adopt(&handed(r#"{"a":1}"#)), Outcome::Buffered);
    session.open(&Earlier::default());
    assert_eq!(answer.await, are(r#"{"a":1,"b":2}"#));
    assert_eq!(fixture.ask(&session, &merge(r#"{"a":null}"#)).now_or_never(), Some(are(r#"{"b":2}"#)));

    // One that nobody opens: the wait has a bound.
    let session = fixture.session("tablet", None);
    assert_eq!(fixture.ask(&session, &merge(r#"{"b":2}"#)).await, are(r#"{"b":2}"#));
    assert_eq!(session.adopt(&handed(r#"{"a":1}"#)), Outcome::Buffered);
    assert_eq!(session.attributes(), Some(attributes(r#"{"b":2}"#)), "it is late");
}

#[tokio::test]
async fn a_session_that_goes_on_elsewhere_says_where_and_one_that_is_over_that_it_is() {
    let fixture = Fixture::new();
    let (owner, stamp) = (NodeName::new("n2").unwrap(), Stamp::from_raw(9));
    let moved = Outcome::Moved { owner: owner.clone(), stamp };
    let moved = Some(Ok(Answer::Outcomes(vec![moved])));
    let logout = || Operation::Disconnect(LoginId::new("s2").ok());
    let session = fixture.session("phone", Some("s1"));
    session.close(CloseReason::Superseded { owner, stamp });
    assert_eq!(fixture.ask(&session, &merge("{}")).await.ok(), moved.clone().and_then(Result::ok));
    assert_eq!(
        fixture.ask(&session, &logout()).now_or_never(),
        moved,
        "its next connection may be of that login"
    );
    let nobody = || Some(Ok(Answer::Outcomes(vec![Outcome::NoSession])));
    let session = fixture.session("tablet", Some("s1"));
    assert_eq!(fixture.ask(&session, &logout()).now_or_never(), nobody());
    assert_eq!(session.closing(), None, "it is of another login");
    session.close(CloseReason::SlowConsumer);
    assert_eq!(fixture.ask(&session, &merge("{}")).await.ok(), nobody().and_then(Result::ok));
}

#[tokio::test]
async fn what_is_owed_is_offered_to_whoever_has_it_next_and_not_to_whoever_is_sent_on() {
    let (fixture, offers) = (Fixture::new(), Arc::new(Offers::default()));
    let weak: Weak<Offers> = Arc::downgrade(&offers);
    fixture.owner.hand_over_by(weak);
    let session = fixture.session("phone", None);
    let [next, other] = ["n2", "n3"].map(|name| NodeName::new(name).unwrap());
    let asks = |owner: &NodeName, stamp| {
        let (owner, stamp) = (owner.clone(), Stamp::from_raw(stamp));
        Operation::Yield { owner, stamp, rival: Rival::SameDevice }
    };
    let outcome = |outcome| Ok(Answer::Outcomes(vec![outcome]));
    assert_eq!(fixture.ask(&session, &asks(&next, 9)).await, outcome(Outcome::Delivered));
    let moved = Outcome::Moved { owner: next.clone(), stamp: Stamp::from_raw(9) };
    assert_eq!(fixture.ask(&session, &asks(&other, 8)).await, outcome(moved), "a claim between the two");
    assert_eq!(*offers.0.lock().unwrap(), [next]);
}

#[tokio::test]
async fn a_session_that_stays_says_so_to_whoever_asks_for_an_earlier_one() {
    let fixture = Fixture::new();
    let session = fixture.session("phone", None);
    let owner = NodeName::new("n2").unwrap();
    let asks = Operation::Yield { owner, stamp: Stamp::from_raw(6), rival: Rival::SameDevice };
    let here = Outcome::Moved { owner: NodeName::new("n1").unwrap(), stamp: Stamp::from_raw(7) };
    assert_eq!(fixture.ask(&session, &asks).await, Ok(Answer::Outcomes(vec![here])));
    assert_eq!(session.closing(), None);
}

#[tokio::test]
async fn whoever_asks_for_what_is_over_is_not_sent_to_itself() {
    let fixture = Fixture::new();
    let session = fixture.session("phone", None);
    fixture.registry.remove(&session);
    let [asker, other] = ["n2", "n3"].map(|name| NodeName::new(name).unwrap());
    let asks = Operation::Yield { owner: asker.clone(), stamp: Stamp::from_raw(9), rival: Rival::SameDevice };
    let answered = async |outcome| {
        assert_eq!(fixture.ask(&session, &asks).await, Ok(Answer::Outcomes(vec![outcome])));
    };
    fixture.shows(&asker, session.key(), 8);
    answered(Outcome::NoSession).await;
    fixture.shows(&other, session.key(), 5);
    answered(Outcome::Moved { owner: other, stamp: Stamp::from_raw(5) }).await;
}
