//! What peers send of logs, as fuzzers feed it: any bytes, taken in by a node that has a session, takes over what a former owner of it
//! has had others hold, and holds what others accept.
//!
//! It panics where the node does what it must not: fail in another way than by an error, read one stream in two ways, or say what is
//! no frame. `tests/corpus.rs` calls it with the stored inputs, the target in `fuzz/` with new ones.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::config::Takeover;
use crate::copies::frame::{Header, LogAnswer, LogFrame};
use crate::copies::group::group_of;
use crate::copies::parts::Parts;
use crate::copies::peers::Outbox;
use crate::copies::streams::{answered, sent};
use crate::copies::{Copies, CopiesParts, Earlier, Former, Progress};
use crate::id::{DeviceId, Incarnation, MessageId, SessionKey, Stamp, UserId};
use crate::key::KeyHasher;
use crate::limits;
use crate::membership::overlay::{Observation, Overlay, OverlayTimers};
use crate::membership::roster::Roster;
use crate::mesh::codec::encode;
use crate::mesh::fuzz::{frames, name};
use crate::metrics::Metrics;
use crate::position::Writer;
use crate::push::{Message, Payload, Terms, Wait};
use crate::quorum::{Acked, Boot, Config, Held, Opened};
use crate::receipt::Reply;
use crate::session::{Copied, Copying, Log, OutboxLimits, Registry, Returning, Session, Store, StoreBounds};
use crate::vital::Vitals;

/// What a peer sends of logs. The first byte says what: the logs of its groups, answers, or both in turn. The second one says where the
/// stream is cut in two.
pub(crate) fn log(data: &[u8]) {
    let [how, cut, stream @ ..] = data else { return };
    let said: Vec<(Said, Bytes)> = match how % 3 {
        0 => frames(stream, *cut).into_iter().map(|(frame, payload)| (Said::Frame(frame), payload)).collect(),
        1 => frames(stream, *cut)
            .into_iter()
            .map(|(answer, payload)| (Said::Answer(answer), payload))
            .collect(),
        _ => frames(stream, *cut),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a thread can have a runtime").block_on(async {
        let mut node = Node::new(how / 3).await;
        for (said, payload) in said {
            let goes_on = match said {
                Said::Frame(frame) => node.reads(frame, &payload),
                Said::Answer(answer) => node.is_answered(answer, &payload),
            };
            if !goes_on {
                break; // The link is over.
            }
            node.works().await;
        }
        node.looks_back().await;
    });
}

/// What a peer sends on the two streams of a link.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Said {
    /// On its own one.
    Frame(LogFrame<Header>),
    /// On that of the node.
    Answer(LogAnswer<Header>),
}

/// A node whose peer is in other hands.
struct Node {
    copies: Arc<Copies>,
    session: Arc<Session>,
    /// What the session takes over.
    progress: watch::Receiver<Progress>,
    peer: Boot,
    /// What waits for the peer.
    outbox: Arc<Outbox>,
    frame_parts: BTreeMap<u8, Held<Copied>>,
    answer_parts: Parts,
}

impl Node {
    /// Its peer is a member of its group, and of that of a former owner.
    async fn new(how: u8) -> Self {
        let (me, peer, former) = (boot("n2", 7), boot("n1", 1_795_000_000_000), boot("n3", 9));
        let names = SessionKey::new(
            UserId::new("42").expect("digits are a user"),
            DeviceId::new("phone").expect("a word is a device"),
        );
        let key = KeyHasher::new(&[7; 32]).key(&names);
        let group = group_of(key);
        let copies = copies(&me, &[&peer, &former], how);
        let outbox = copies.peers.open(&peer);
        copies.connected(&peer);
        copies.act(group, |owner| owner.change(vec![peer.clone()]));
        let acked = Acked { place: 0, refused: Vec::new() };
        let opened = Opened { epoch: 1, place: 0, acked };
        copies.answered(&peer, LogAnswer::Opened(group, opened));
        copies.announced(&former, group, &Config { epoch: 4, members: vec![peer.clone()] });
        let stamp = Stamp::from_raw(1_795_000_000_000 << 16);
        let writer = Writer::of(&me.name, me.incarnation);
        let kept = Log::new((stamp, writer), 120, Returning::default(), Arc::clone(&copies.parts.store));
        let limits = OutboxLimits { messages_max: 4, bytes_max: 1 << 10 };
        let session = Arc::new(Session::new(names, key, stamp, None, limits, Some(kept)));
        assert!(copies.parts.registry.insert(&session).is_none(), "it is the first");
        let former = Former { owners: vec![former], shown: None };
        let progress = copies.take_over(&session, former);
        session.open(&Default::default());
        copies.opened(&session, Earlier::default());
        for id in ["m-1", "m-2"] {
            let id = MessageId::new(id).expect("a short word is an id");
            let terms = Terms { ttl: None, wait: Wait::Stored };
            session.offer(
                &Arc::new(Message::new(id, false, Payload::text("hello")).on(terms)),
                Reply::answered(),
            );
        }
        let node = Self {
            copies,
            session,
            progress,
            peer,
            outbox,
            frame_parts: BTreeMap::new(),
            answer_parts: Parts::default(),
        };
        node.works().await;
        node
    }

    /// A frame of the peer's own log. Returns whether the link goes on.
    fn reads(&mut self, frame: LogFrame<Header>, payload: &Bytes) -> bool {
        let Ok(read) = self.copies.read(&self.peer, frame, payload, &mut self.frame_parts) else {
            return false;
        };
        match read {
            Ok(answers) => {
                let answers = are_frames::<LogAnswer<Header>>(answered(answers));
                assert!(answers.iter().all(|answer| answer.check().is_ok()));
            }
            // The next stream begins anew.
            Err(_) => self.frame_parts = BTreeMap::new(),
        }
        true
    }

    /// An answer of the peer's. Returns whether the link goes on.
    fn is_answered(&mut self, answer: LogAnswer<Header>, payload: &Bytes) -> bool {
        let Ok(answer) = self.copies.whole(answer, payload, &mut self.answer_parts) else { return false };
        if let Some(answer) = answer {
            self.copies.answered(&self.peer, answer);
        }
        true
    }

    /// Lets the tasks of the node work, and the session's connection.
    async fn works(&self) {
        self.copies.tell_untold();
        for _ in 0..4 {
            yield_now().await;
        }
        drop(self.session.work(2).now_or_never());
    }

    /// What the node has become can be sent, looked at, and forgotten.
    async fn looks_back(&self) {
        let now = Instant::now();
        for now in [now, now + HOUR, now + 3 * HOUR] {
            self.copies.look(now);
            self.works().await;
        }
        let _ = (self.copies.held(), self.copies.of_user(self.session.key().user), self.session.tail());
        if let Some(Some(frames)) = self.outbox.take().now_or_never() {
            let frames = are_frames::<LogFrame<Header>>(sent(frames));
            assert!(frames.iter().all(|frame| frame.check(self.copies.me()).is_ok()));
        }
        assert!(!self.copies.is_poisoned());
        let is_over = self.progress.has_changed().is_err();
        let is_ended = !self.copies.takeovers.is_under_way(self.session.key());
        assert_eq!(is_over, is_ended, "the takeover has not failed");
    }
}

/// What this node writes is what its peers read.
fn are_frames<H: Serialize + DeserializeOwned + PartialEq + Debug>(chunks: Vec<Bytes>) -> Vec<H> {
    let stream = chunks.concat();
    let frames = frames::<H>(&stream, 0);
    let len = |(header, payload): &(H, Bytes)| encode(header, payload.len()).len() + payload.len();
    assert_eq!(frames.iter().map(len).sum::<usize>(), stream.len(), "all of it");
    frames.into_iter().map(|(header, _)| header).collect()
}

/// The copies of a node that knows these others.
fn copies(me: &Boot, others: &[&Boot], how: u8) -> Arc<Copies> {
    let mut overlay = Overlay::new(me.name.clone(), me.incarnation, OverlayTimers::default());
    for Boot { name, incarnation } in others.iter().copied().cloned() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        overlay.observe(Observation::LinkUp { name, incarnation, addr }, Duration::ZERO);
    }
    let roster = Roster::default();
    roster.update(&overlay);
    let metrics = Arc::clone(&METRICS);
    let bounds = StoreBounds { messages_max: 4, bytes_max: 1 << 10, node_bytes_max: 16 << 10 };
    let store = Arc::new(Store::new(bounds, Arc::clone(&metrics)));
    let copies = Copies::new(CopiesParts {
        me: me.clone(),
        wants: 1,
        keep_max: HOUR,
        zone: None,
        takeover: if how & 1 == 0 { Takeover::ExclusiveDevice } else { Takeover::RejectNewer },
        registry: Arc::new(Registry::new(me.name.clone(), 9)),
        roster: Arc::new(roster),
        store: Arc::clone(&store),
        metrics: Arc::clone(&metrics),
        vitals: Vitals::new(metrics),
        copied_after: limits::COPIED_AFTER,
        resume_timeout: if how & 2 == 0 { HOUR } else { Duration::ZERO },
    });
    let copying: Arc<dyn Copying> = copies.clone();
    store.copy_by(Arc::downgrade(&copying));
    copies
}

fn boot(text: &str, incarnation: u64) -> Boot {
    Boot { name: name(text), incarnation: Incarnation(incarnation) }
}

/// Those of all nodes: to make them takes longer than all else.
static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(|| Arc::new(Metrics::new()));

/// For how long sessions are kept.
const HOUR: Duration = Duration::from_secs(3_600);
