//! How sections travel in the fast level: what the product's `replication/` decides, over streams of the model.
//!
//! A stream has an order and loses nothing, as QUIC's, unless the run is an unreliable one: then frames
//! are lost, doubled and overtake each other, and the stream breaks a while later. The directory
//! promises to be right all the same. Left out: the places for snapshots, and how fast they are sent.

use std::time::Duration;

use pushmesh::id::Incarnation;
use pushmesh::internals::{
    CopyChange, MergeError, Position, Refused, SectionFrame, Serving, SnapshotFrame, Step, Subscribe, Taking,
};
use pushmesh::limits;
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::boot::{Boot, LinkId, StreamId};
use crate::model::cluster::{Cluster, Event, Message, index_of};

/// What a subscriber is sent.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    /// A frame of the product's.
    Section(SectionFrame),
    /// The stream ends.
    Done,
}

/// The holder's side of a subscription.
pub(super) struct Server {
    /// To whom.
    pub(super) to: NodeIndex,
    /// Over which link.
    pub(super) link: LinkId,
    owner: NodeIndex,
    serving: Serving,
    /// A snapshot has begun.
    begun: bool,
    /// It is in the queue.
    pub(super) scheduled: bool,
    /// When the last delta was sent.
    sent: Duration,
    /// When the last frame arrives.
    arrival: Duration,
}

/// The taker's side of a subscription.
pub(super) struct Follower {
    /// From whom.
    pub(super) from: NodeIndex,
    /// Over which link.
    pub(super) link: LinkId,
    /// Whose section.
    pub(super) owner: NodeIndex,
    incarnation: Incarnation,
    /// Whether it goes on. As in the product only a stream of the owner does.
    pub(super) follow: bool,
    taking: Taking,
    /// Where the sender stood at the start, for the checkers.
    stood: Position,
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
        let taking = Taking::new(&boot.replica, self.names[owner].clone(), incarnation, follow);
        let subscribe = taking.subscribe(follow);
        let (stood, heard) = (Position::default(), self.now);
        let follower = Follower { from, link, owner, incarnation, follow, taking, stood, heard };
        boot.followers.insert(stream, follower);
        self.transfers += u64::from(self.is_current(owner, incarnation));
        self.send(boot, from, Message::Subscribe { stream, subscribe });
    }

    /// A peer subscribes.
    pub(super) fn subscribed(
        &mut self,
        boot: &mut Boot,
        to: NodeIndex,
        link: LinkId,
        stream: StreamId,
        subscribe: Subscribe,
    ) {
        let owner = index_of(&subscribe.owner);
        let serving = Serving::new(&boot.replica, subscribe);
        let (sent, arrival) = (Duration::ZERO, self.now);
        let server = Server { to, link, owner, serving, begun: false, scheduled: true, sent, arrival };
        boot.servers.insert(stream, server);
        self.queue.put(self.now, Event::Pump { boot: boot.id, stream });
    }

    /// Sends what a subscriber lacks, until there is nothing or a pause is due.
    pub(super) fn pump(&mut self, boot: &mut Boot, stream: StreamId) {
        let mut budget = self.choice.random_range(1..4);
        while let Some(server) = boot.servers.get_mut(&stream) {
            if budget == 0 {
                let pause = Duration::from_micros(self.choice.random_range(0..3_000));
                return self.queue.put(self.now + pause, Event::Pump { boot: boot.id, stream });
            }
            budget -= 1;
            let cursor = server.serving.cursor();
            match server.serving.next(&boot.replica) {
                Step::Send(frame) => {
                    let case = match &frame {
                        SectionFrame::Delta(_) if server.begun => Some("directory: a snapshot is mended"),
                        SectionFrame::Delta(_) => {
                            server.sent = self.now;
                            None
                        }
                        SectionFrame::Snapshot(SnapshotFrame::Begin(_)) => {
                            std::mem::replace(&mut server.begun, true)
                                .then_some("directory: a snapshot starts over")
                        }
                        SectionFrame::Snapshot(SnapshotFrame::End { .. }) => {
                            server.begun = false;
                            None
                        }
                        SectionFrame::Head(_) | SectionFrame::Snapshot(SnapshotFrame::Chunk(_)) => None,
                    };
                    case.into_iter().for_each(|case| self.count(case));
                    self.frame(boot, stream, Frame::Section(frame));
                }
                Step::Place => {
                    let head = boot.replica.head(&self.names[server.owner]);
                    let same =
                        head.is_some_and(|head| head.digest.position.incarnation == cursor.incarnation);
                    if same && cursor.version > 0 {
                        self.count("directory: ring overflow");
                    }
                }
                Step::Quiet => {
                    server.scheduled = false;
                    return;
                }
                Step::Over => {
                    self.frame(boot, stream, Frame::Done);
                    boot.servers.remove(&stream);
                }
            }
        }
    }

    /// This boot wrote: those who follow are told, after changes were gathered for a while.
    pub(super) fn wrote(&mut self, boot: &mut Boot) {
        let members = u32::try_from(self.plan.nodes).unwrap_or(u32::MAX);
        let window = limits::COALESCE_PER_MEMBER.saturating_mul(members);
        let window = window.clamp(limits::COALESCE_MIN, limits::COALESCE_MAX);
        for (stream, server) in &mut boot.servers {
            if server.serving.follows() && !server.scheduled {
                server.scheduled = true;
                let at = self.now.max(server.sent + window);
                self.queue.put(at, Event::Pump { boot: boot.id, stream: *stream });
            }
        }
    }

    fn frame(&mut self, boot: &mut Boot, stream: StreamId, frame: Frame) {
        let server = boot.servers.get_mut(&stream).expect("a frame belongs to a subscription");
        let (to, link, owner) = (server.to, server.link, server.owner);
        let moves = matches!(&frame, Frame::Section(SectionFrame::Delta(_) | SectionFrame::Snapshot(_)));
        if moves && self.is_up(owner) {
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
            server.arrival = server.arrival.max(self.now + delay + again);
            return self.deliver(server.arrival, boot, peer, link, message(frame));
        }
        let arrival = self.now + delay;
        let overtakes = arrival < server.arrival;
        server.arrival = server.arrival.max(arrival);
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
        let Some(mut follower) = boot.followers.remove(&stream) else {
            // Nobody reads it any more.
            return self.send(boot, from, Message::Stop { stream });
        };
        follower.heard = self.now;
        let Frame::Section(frame) = frame else { return self.end_taking(boot, follower) };
        if let SectionFrame::Head(digest) = &frame {
            follower.stood = digest.position;
        }
        let ended = matches!(frame, SectionFrame::Snapshot(SnapshotFrame::End { .. }));
        let owner = follower.owner;
        match follower.taking.take(frame) {
            Ok(taken) => {
                if matches!(taken.change, CopyChange::Replaced | CopyChange::Outdated) {
                    self.count("directory: snapshot used");
                }
                if taken.synced {
                    self.check_synced(boot, owner, follower.stood);
                }
                self.supersede(boot, taken.lost);
                boot.followers.insert(stream, follower);
                self.took(boot, owner, ended);
            }
            Err(refused) => {
                self.refused(owner, follower.incarnation, &refused);
                self.end_taking(boot, follower);
                self.took(boot, owner, true);
            }
        }
    }

    /// What a merge refused is as the directory promises.
    fn refused(&mut self, owner: NodeIndex, incarnation: Incarnation, refused: &Refused) {
        let excused = self.plan.unreliable || self.history.is_ambiguous(owner, incarnation);
        match refused {
            Refused::Merge(MergeError::Gap { .. }) => self.count("directory: gap pulled"),
            Refused::Merge(MergeError::Incarnation { .. }) => self.count("directory: another boot refused"),
            // A snapshot that lost frames does not add up.
            Refused::Merge(MergeError::Diverged { .. } | MergeError::Order) | Refused::Disorder
                if excused =>
            {
                self.count("directory: what does not add up is refused");
            }
            Refused::Merge(_) | Refused::Disorder | Refused::TooMany(_) => {
                let what = format!("the section of {} was taken and refused: {refused}", self.names[owner]);
                self.fail("what an owner sends adds up", what);
            }
        }
    }

    /// A subscription is over.
    pub(super) fn end_taking(&mut self, boot: &mut Boot, follower: Follower) {
        if follower.follow {
            let again = Event::Resubscribe { boot: boot.id, peer: follower.from, link: follower.link };
            self.queue.put(self.now + RESUBSCRIBE_AFTER, again);
        } else {
            boot.pulling.remove(&follower.owner);
        }
    }

    /// A stream broke.
    pub(super) fn broken(&mut self, boot: &mut Boot, stream: StreamId) {
        if let Some(follower) = boot.followers.remove(&stream) {
            self.end_taking(boot, follower);
        }
    }
}

/// As in the product's `follower.rs`.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(100);
/// How much later a frame arrives whose packet was lost. Source: QUIC's first probe, and some more.
const RETRANSMISSION: Duration = Duration::from_millis(300);
