//! How a node of the fast level takes sections: what the product's `replication/` decides of each frame, and how long it
//! waits, over streams of the model.
//!
//! A stream has an order and loses nothing, as QUIC's, unless the run is an unreliable one: then frames
//! are lost, doubled and overtake each other, and the stream breaks a while later. The directory
//! promises to be right all the same.
//!
//! Left out: the places for snapshots, and the end of a link whose peer sends what no node sends.

use pushmesh::id::Incarnation;
use pushmesh::internals::{
    CopyChange, MergeError, Position, Refused, SectionFrame, SnapshotFrame, Taking, patience,
};

use crate::id::NodeIndex;
use crate::model::boot::Boot;
use crate::model::cluster::Cluster;
use crate::model::due::Event;
use crate::model::id::{LinkId, StreamId};
use crate::model::message::{Frame, Message};
use crate::model::stream::Follower;

impl Cluster {
    /// Follows a section over that link, or pulls it once.
    pub(super) fn subscribe(
        &mut self,
        boot: &mut Boot,
        (from, link): (NodeIndex, LinkId),
        owner: NodeIndex,
        incarnation: Incarnation,
        follow: bool,
    ) {
        self.streams += 1;
        let stream = self.streams;
        let taking = Taking::new(&boot.replica, self.names[owner].clone(), incarnation, follow);
        let subscribe = taking.subscribe(follow);
        let (stood, since, arriving) = (Position::default(), self.now, None);
        let heard = since;
        let follower =
            Follower { from, link, owner, incarnation, follow, taking, stood, since, heard, arriving };
        boot.followers.insert(stream, follower);
        self.transfers += u64::from(self.is_current(owner, incarnation));
        self.send_on(boot, (from, link), Message::Subscribe { stream, subscribe });
    }

    /// A frame arrived.
    pub(super) fn take(&mut self, boot: &mut Boot, from: NodeIndex, stream: StreamId, frame: Frame) {
        let Some(mut follower) = boot.followers.remove(&stream) else {
            // Nobody reads it any more.
            return self.send(boot, from, Message::Stop { stream });
        };
        follower.heard = self.now;
        let Frame::Section(frame) = frame else { return self.end_taking(boot, follower) };
        match &frame {
            SectionFrame::Head(digest) => follower.stood = digest.position,
            SectionFrame::Snapshot(SnapshotFrame::Begin(_)) => follower.arriving = Some(self.now),
            _ => {}
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
                follower.arriving = follower.arriving.filter(|_| follower.taking.is_filling());
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
        let Follower { from, link, owner, follow, since, .. } = follower;
        if !follow {
            return boot.pulling.ended(&self.names[owner]);
        }
        if let Some(held) = boot.link_mut(from, link) {
            let pause = held.pauses.ended(self.now - since);
            self.queue.put(self.now + pause, Event::Resubscribe { boot: boot.id, peer: from, link });
        }
    }

    /// Those subscriptions are over that have brought nothing for too long.
    pub(super) fn give_up_silent(&mut self, boot: &mut Boot) {
        let silent = |taker: &Follower| {
            let arriving = taker.arriving.map(|since| taker.heard - since);
            patience(taker.follow, arriving).is_some_and(|patience| self.now - taker.heard > patience)
        };
        let silent = boot.followers.iter().filter(|(_, taker)| silent(taker)).map(|(stream, _)| *stream);
        let silent: Vec<_> = silent.collect();
        silent.into_iter().for_each(|stream| self.broken(boot, stream));
    }

    /// A stream broke.
    pub(super) fn broken(&mut self, boot: &mut Boot, stream: StreamId) {
        if let Some(follower) = boot.followers.remove(&stream) {
            self.end_taking(boot, follower);
        }
    }
}
