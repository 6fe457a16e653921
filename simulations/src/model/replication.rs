//! How sections travel in the fast level: the loops of the product's `replication/`, cut where they
//! wait.
//!
//! A stream has an order and loses nothing, as QUIC's, unless the run is an unreliable one: then frames
//! are lost, doubled and overtake each other, and the stream breaks a while later. The directory
//! promises to be right all the same.

use std::time::Duration;

use pushmesh::id::Incarnation;
use pushmesh::internals::{Delta, Digest, Lost, MergeError, Packed, Position, Snapshot, SnapshotFrame};
use pushmesh::limits;
use rand::Rng;

use crate::event::NodeIndex;
use crate::model::boot::{Boot, LinkId, StreamId};
use crate::model::cluster::{Cluster, Event, Message};

/// What a subscriber is sent.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    /// Where the section stands now; the first frame.
    Head(Digest),
    /// Some writes.
    Delta(Delta),
    /// A part of a snapshot.
    Snapshot(SnapshotFrame),
    /// The stream ends.
    Done,
}

/// The holder's side of a subscription.
pub(super) struct Serving {
    /// To whom.
    pub(super) to: NodeIndex,
    /// Over which link.
    pub(super) link: LinkId,
    owner: NodeIndex,
    follow: bool,
    cursor: Position,
    snapshot: Option<Sending>,
    /// It is in the queue.
    pub(super) scheduled: bool,
    /// When the last delta was sent.
    sent: Duration,
    /// When the last frame arrives.
    arrival: Duration,
}

/// A snapshot that is being sent.
struct Sending {
    /// Where it stands.
    at: Position,
    /// The last key of the last chunk; `None` outside when all chunks are sent.
    chunks: Option<Option<pushmesh::internals::Key>>,
}

/// The taker's side of a subscription.
pub(super) struct Taker {
    /// From whom.
    pub(super) from: NodeIndex,
    /// Over which link.
    pub(super) link: LinkId,
    /// Whose section.
    pub(super) owner: NodeIndex,
    incarnation: Incarnation,
    /// Whether it goes on.
    pub(super) follow: bool,
    /// Whether it is the owner that sends. As in the product only a stream that follows is.
    direct: bool,
    subscribed: Option<Digest>,
    /// Where the owner stood at the start; `None` once that is reached.
    head: Option<Position>,
    arriving: Option<Snapshot>,
    /// When the last frame came.
    pub(super) heard: Duration,
}

impl Cluster {
    /// Follows a section, or pulls it once.
    pub(super) fn subscribe(
        &mut self,
        boot: &mut Boot,
        from: NodeIndex,
        owner: NodeIndex,
        incarnation: Incarnation,
        follow: bool,
    ) {
        let Some(link) = boot.links.get(&from).map(|link| link.id) else { return };
        self.streams += 1;
        let stream = self.streams;
        let subscribed = boot.store.directory().head(&self.names[owner]).map(|head| head.digest);
        let position = subscribed.map_or(Position::default(), |held| held.position);
        let (heard, arriving, direct) = (self.now, None, follow);
        let head = None;
        let taker =
            Taker { from, link, owner, incarnation, follow, direct, subscribed, head, arriving, heard };
        boot.takers.insert(stream, taker);
        self.transfers += u64::from(self.is_current(owner, incarnation));
        self.send(boot, from, Message::Subscribe { stream, owner, position, follow });
    }

    /// A peer subscribes.
    pub(super) fn subscribed(
        &mut self,
        boot: &mut Boot,
        to: NodeIndex,
        link: LinkId,
        (stream, owner, cursor, follow): (StreamId, NodeIndex, Position, bool),
    ) {
        let follow = follow && owner == boot.node;
        let (snapshot, scheduled) = (None, true);
        let (sent, arrival) = (Duration::ZERO, self.now);
        let head = boot.store.directory().head(&self.names[owner]);
        let serving = Serving { to, link, owner, follow, cursor, snapshot, scheduled, sent, arrival };
        boot.servings.insert(stream, serving);
        match head {
            Some(head) => {
                self.frame(boot, stream, Frame::Head(head.digest));
                self.queue.put(self.now, Event::Pump { boot: boot.id, stream });
            }
            None => self.finish(boot, stream),
        }
    }

    fn finish(&mut self, boot: &mut Boot, stream: StreamId) {
        self.frame(boot, stream, Frame::Done);
        boot.servings.remove(&stream);
    }

    /// Sends what a subscriber lacks, until there is nothing or a pause is due.
    pub(super) fn pump(&mut self, boot: &mut Boot, stream: StreamId) {
        let mut budget = self.choice.random_range(1..4);
        loop {
            let Some(serving) = boot.servings.get_mut(&stream) else { return };
            if budget == 0 {
                let pause = Duration::from_micros(self.choice.random_range(0..3_000));
                return self.queue.put(self.now + pause, Event::Pump { boot: boot.id, stream });
            }
            budget -= 1;
            let directory = boot.store.directory();
            let owner = &self.names[serving.owner];
            if let Some(sending) = serving.snapshot.take() {
                if !self.go_on(boot, stream, sending) {
                    return self.finish(boot, stream);
                }
                continue;
            }
            match directory.delta_since(owner, serving.cursor, self.plan.bounds.delta_changes) {
                None => {
                    let Some(head) = directory.head(owner) else { return self.finish(boot, stream) };
                    let at = head.digest.position;
                    let cursor = serving.cursor;
                    if cursor.incarnation == at.incarnation && cursor.version > 0 {
                        self.count("directory: ring overflow");
                    }
                    serving.snapshot = Some(Sending { at, chunks: Some(None) });
                    self.frame(boot, stream, Frame::Snapshot(SnapshotFrame::Begin(at)));
                }
                Some(delta) if delta.is_empty() => {
                    if !serving.follow {
                        return self.finish(boot, stream);
                    }
                    serving.scheduled = false;
                    return;
                }
                Some(delta) => {
                    serving.cursor = delta.end();
                    serving.sent = self.now;
                    self.frame(boot, stream, Frame::Delta(delta));
                }
            }
        }
    }

    /// Sends the next part of a snapshot. `false`: the section is not here any more.
    fn go_on(&mut self, boot: &mut Boot, stream: StreamId, mut sending: Sending) -> bool {
        let serving = boot.servings.get_mut(&stream).expect("who pumps has found it");
        let owner = &self.names[serving.owner];
        if let Some(after) = sending.chunks {
            let Some(chunk) = boot.store.chunk(owner, after, self.plan.bounds.chunk_entries) else {
                return false;
            };
            sending.chunks = chunk.last().map(|last| Some(last.key));
            serving.snapshot = Some(sending);
            if !chunk.is_empty() {
                self.frame(boot, stream, Frame::Snapshot(SnapshotFrame::Chunk(Packed(chunk))));
            }
            return true;
        }
        let directory = boot.store.directory();
        let Some(head) = directory.head(owner) else { return false };
        match directory.delta_since(owner, sending.at, self.plan.bounds.delta_changes) {
            // The changes since the beginning are forgotten: it starts over.
            None => {
                let at = head.digest.position;
                serving.snapshot = Some(Sending { at, chunks: Some(None) });
                self.count("directory: a snapshot starts over");
                self.frame(boot, stream, Frame::Snapshot(SnapshotFrame::Begin(at)));
            }
            Some(delta) if !delta.is_empty() => {
                serving.snapshot = Some(Sending { at: delta.end(), chunks: None });
                self.count("directory: a snapshot is mended");
                self.frame(boot, stream, Frame::Delta(delta));
            }
            Some(_) => {
                serving.cursor = sending.at;
                let (digest, count) = (head.digest, head.len);
                self.frame(boot, stream, Frame::Snapshot(SnapshotFrame::End { digest, count }));
            }
        }
        true
    }

    /// This boot wrote: those who follow are told, after changes were gathered for a while.
    pub(super) fn wrote(&mut self, boot: &mut Boot) {
        let members = u32::try_from(self.plan.nodes).unwrap_or(u32::MAX);
        let window = limits::COALESCE_PER_MEMBER.saturating_mul(members);
        let window = window.clamp(limits::COALESCE_MIN, limits::COALESCE_MAX);
        for (stream, serving) in &mut boot.servings {
            if serving.follow && !serving.scheduled {
                serving.scheduled = true;
                let at = self.now.max(serving.sent + window);
                self.queue.put(at, Event::Pump { boot: boot.id, stream: *stream });
            }
        }
    }

    fn frame(&mut self, boot: &mut Boot, stream: StreamId, frame: Frame) {
        let serving = boot.servings.get_mut(&stream).expect("a frame belongs to a subscription");
        let (to, link, owner) = (serving.to, serving.link, serving.owner);
        if matches!(frame, Frame::Delta(_) | Frame::Snapshot(_)) && self.is_up(owner) {
            self.transfers += 1;
        }
        let delay = self.network.delay();
        let (loses, doubles) = (self.network.loses(), self.network.doubles());
        let message = |frame| Message::Frame { stream, frame };
        let Some(peer) = boot.links.get(&to).filter(|held| held.id == link).map(|link| link.peer) else {
            return;
        };
        if !self.plan.unreliable || self.healed {
            // What is lost is sent again.
            let again = if loses { RETRANSMISSION } else { Duration::ZERO };
            serving.arrival = serving.arrival.max(self.now + delay + again);
            return self.deliver(serving.arrival, boot, peer, link, message(frame));
        }
        let arrival = self.now + delay;
        let overtakes = arrival < serving.arrival;
        serving.arrival = serving.arrival.max(arrival);
        if loses || doubles || overtakes {
            self.count("fault: frames of a section lost, doubled, reordered");
            let breaks = arrival + Duration::from_micros(self.choice.random_range(0..1_000_000));
            self.queue.put(breaks, Event::Broken { boot: peer, stream });
        }
        if doubles {
            let second = arrival + self.network.delay();
            self.deliver(second, boot, peer, link, message(frame.clone()));
        }
        if !loses {
            self.deliver(arrival, boot, peer, link, message(frame));
        }
    }

    /// A frame arrived.
    pub(super) fn take(&mut self, boot: &mut Boot, from: NodeIndex, stream: StreamId, frame: Frame) {
        let Some(mut taker) = boot.takers.remove(&stream) else {
            // Nobody reads it any more.
            return self.send(boot, from, Message::Stop { stream });
        };
        taker.heard = self.now;
        if matches!(frame, Frame::Done) {
            return self.end_taking(boot, taker);
        }
        let ended = matches!(frame, Frame::Snapshot(SnapshotFrame::End { .. }));
        match self.apply(boot, &mut taker, frame) {
            Ok(lost) => {
                self.supersede(boot, lost);
                self.report(boot, &mut taker);
                let owner = taker.owner;
                boot.takers.insert(stream, taker);
                self.took(boot, owner, ended);
            }
            Err(error) => {
                self.refused(taker.owner, taker.incarnation, &error);
                let owner = taker.owner;
                self.end_taking(boot, taker);
                self.took(boot, owner, true);
            }
        }
    }

    /// As `Taker::report` of the product.
    fn report(&mut self, boot: &mut Boot, taker: &mut Taker) {
        let owner = &self.names[taker.owner];
        let held = boot.store.directory().head(owner).map(|held| held.digest.position);
        if taker.head.is_some_and(|head| held.is_some_and(|held| held >= head)) {
            taker.head = None;
            if taker.direct {
                let lost = boot.store.prove(owner, taker.incarnation);
                self.supersede(boot, lost);
            }
        }
    }

    /// As `Taker::take` of the product.
    fn apply(&mut self, boot: &mut Boot, taker: &mut Taker, frame: Frame) -> Result<Vec<Lost>, MergeError> {
        let owner = &self.names[taker.owner];
        match frame {
            Frame::Head(digest) => {
                if let Some(held) = taker.subscribed.filter(|held| taker.direct && held.contradicts(&digest))
                {
                    boot.store.distrust(owner, &held);
                    let version = held.position.version;
                    return Err(MergeError::Diverged { owner: owner.clone(), version });
                }
                taker.head = Some(digest.position);
            }
            Frame::Delta(delta) => {
                return match &mut taker.arriving {
                    Some(arriving) => boot.store.mend(arriving, &delta).map(|()| Vec::new()),
                    None => boot.store.merge(owner, delta),
                };
            }
            Frame::Snapshot(SnapshotFrame::Begin(position)) => {
                if position.incarnation != taker.incarnation {
                    let (found, held) = (position.incarnation, taker.incarnation);
                    return Err(MergeError::Incarnation { found, held });
                }
                if let Some(arriving) = taker.arriving.take() {
                    boot.store.give_up(arriving);
                }
                taker.arriving = boot.store.begin(owner, position)?;
            }
            Frame::Snapshot(SnapshotFrame::Chunk(entries)) => {
                if let Some(arriving) = &mut taker.arriving {
                    boot.store.fill(arriving, &entries.0);
                }
            }
            Frame::Snapshot(SnapshotFrame::End { digest, count }) => {
                if let Some(arriving) = taker.arriving.take() {
                    let lost = boot.store.end(arriving, digest, count)?;
                    self.count("directory: snapshot used");
                    return Ok(lost);
                }
            }
            Frame::Done => {}
        }
        Ok(Vec::new())
    }

    /// What a merge refused is as the directory promises.
    fn refused(&mut self, owner: NodeIndex, incarnation: Incarnation, error: &MergeError) {
        let excused = self.history.is_ambiguous(owner, incarnation);
        let what = || format!("the section of {} was taken and refused: {error}", self.names[owner]);
        match error {
            MergeError::Gap { .. } => self.count("directory: gap pulled"),
            MergeError::Incarnation { .. } => self.count("directory: another boot refused"),
            // A snapshot that lost frames does not add up.
            MergeError::Diverged { .. } | MergeError::Order if self.plan.unreliable || excused => {
                self.count("directory: what does not add up is refused");
            }
            MergeError::Diverged { .. } | MergeError::Order | MergeError::Own(_) | MergeError::Full => {
                let what = what();
                self.fail("what an owner sends adds up", what);
            }
        }
    }

    /// A subscription is over.
    pub(super) fn end_taking(&mut self, boot: &mut Boot, taker: Taker) {
        if let Some(arriving) = taker.arriving {
            boot.store.give_up(arriving);
        }
        if taker.follow {
            let again = Event::Resubscribe { boot: boot.id, peer: taker.from, link: taker.link };
            self.queue.put(self.now + RESUBSCRIBE_AFTER, again);
        } else {
            boot.pulling.remove(&taker.owner);
        }
    }

    /// A stream broke.
    pub(super) fn broken(&mut self, boot: &mut Boot, stream: StreamId) {
        if let Some(taker) = boot.takers.remove(&stream) {
            self.end_taking(boot, taker);
        }
    }
}

/// As in the product's `follower.rs`.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(100);
/// How much later a frame arrives whose packet was lost. Source: QUIC's first probe, and some more.
const RETRANSMISSION: Duration = Duration::from_millis(300);
