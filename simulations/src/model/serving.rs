//! How a node of the fast level sends sections to those who follow them: what the product's `replication/serving`
//! decides, over streams of the model.
//!
//! Left out: the places for snapshots, and how fast they are sent.

use std::time::Duration;

use pushmesh::internals::{SectionFrame, Serving, SnapshotFrame, Step, Subscribe};
use pushmesh::limits;
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::boot::Boot;
use crate::model::cluster::{Cluster, index_of};
use crate::model::due::Event;
use crate::model::id::{LinkId, StreamId};
use crate::model::message::{Frame, Message};
use crate::model::stream::Server;

impl Cluster {
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
}

/// How much later a frame arrives whose packet was lost. Source: QUIC's first probe, and some more.
const RETRANSMISSION: Duration = Duration::from_millis(300);
