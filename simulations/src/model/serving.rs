//! How a node of the fast level sends sections to those who follow them: what the product's `replication/serving`
//! decides, and how long changes are gathered, over streams of the model.
//!
//! Left out: the places for snapshots, and how fast they are sent.

use std::time::Duration;

use pushmesh::internals::{Gathering, SectionFrame, Serving, SnapshotFrame, Step, Subscribe};
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::boot::Boot;
use crate::model::cluster::{Cluster, index_of, is_alive};
use crate::model::due::Event;
use crate::model::id::{LinkId, StreamId};
use crate::model::message::{Frame, Message};
use crate::model::network::RETRANSMISSION;
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
        let (due, arrival) = (Some(self.now), self.now);
        let server =
            Server { to, link, owner, serving, begun: false, due, gathering: None, sent: None, arrival };
        boot.servers.insert(stream, server);
        self.queue.put(self.now, Event::Pump { boot: boot.id, stream });
    }

    /// Sends what a subscriber lacks, until there is nothing or a pause is due.
    pub(super) fn pump(&mut self, boot: &mut Boot, stream: StreamId) {
        // It may have become due earlier, because a delta is full, and a node that sleeps is late.
        let is_due = |server: &&mut Server| server.due.is_some_and(|due| due <= self.now);
        match boot.servers.get_mut(&stream).filter(is_due) {
            Some(server) => server.gathering = None,
            None => return,
        }
        let members = boot.overlay.members().filter(|member| is_alive(member)).count();
        let mut budget = self.choice.random_range(1..4);
        while let Some(server) = boot.servers.get_mut(&stream) {
            if budget == 0 {
                let due = self.now + Duration::from_micros(self.choice.random_range(0..3_000));
                server.due = Some(due);
                return self.queue.put(due, Event::Pump { boot: boot.id, stream });
            }
            budget -= 1;
            let cursor = server.serving.cursor();
            match server.serving.next(&boot.replica) {
                Step::Send(frame) => {
                    let case = match &frame {
                        SectionFrame::Delta(_) if server.begun => Some("directory: a snapshot is mended"),
                        SectionFrame::Delta(_) => {
                            server.sent = Some(self.now);
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
                    let changes_max = boot.replica.tuning().delta_changes;
                    let gathering = Gathering::new(members, server.serving.cursor(), changes_max);
                    (server.due, server.gathering) = (None, Some((gathering, self.now)));
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
        let version = boot.replica.head(&boot.name).map_or(0, |head| head.digest.position.version);
        for (stream, server) in &mut boot.servers {
            let Some((gathering, since)) = server.gathering.filter(|_| server.serving.follows()) else {
                continue;
            };
            let full = gathering.is_full(version);
            let at = if full { self.now } else { gathering.until(server.sent, since).max(self.now) };
            if server.due.is_none_or(|due| at < due) {
                server.due = Some(at);
                self.queue.put(at, Event::Pump { boot: boot.id, stream: *stream });
            }
        }
    }

    fn frame(&mut self, boot: &mut Boot, stream: StreamId, frame: Frame) {
        let server = boot.servers.get(&stream).expect("a frame belongs to a subscription");
        let (to, link, owner) = (server.to, server.link, server.owner);
        let moves = matches!(&frame, Frame::Section(SectionFrame::Delta(_) | SectionFrame::Snapshot(_)));
        if moves && self.is_up(owner) {
            self.transfers += 1;
        }
        let delay = self.network.delay();
        let (loses, doubles) = (self.network.loses(), self.network.doubles());
        let message = |frame| Message::Frame { stream, frame };
        let Some(peer) = boot.link_mut(to, link).map(|link| link.peer) else { return };
        let server = boot.servers.get_mut(&stream).expect("a frame belongs to a subscription");
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
