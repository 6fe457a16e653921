//! What is sent, and what becomes of it.

use pushmesh::internals::quorum::{Boot, GroupMember, SealAnswer, ToMember};
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::cluster::index_of;
use crate::model::quorum::world::{Event, Frame, World, ends};

impl World {
    pub(super) fn deliver(&mut self, from: Boot, to: Boot, link: Option<u64>, frame: Frame) {
        let (a, b) = (index_of(&from.name), index_of(&to.name));
        let is_over = link.is_some_and(|link| self.links[&ends(a, b)].number != link);
        let is_cut = a != b && (self.nodes[a].cut || self.nodes[b].cut);
        if is_over || is_cut || !self.nodes[b].up || self.nodes[b].boot != to {
            return;
        }
        if let Some(wakes) = self.nodes[b].asleep {
            self.queue.put(wakes, Event::Deliver { from, to, link, frame });
            return;
        }
        self.record.mark([self.now.as_nanos() as u64, a as u64, b as u64]);
        match frame {
            Frame::ToMember(frame) => self.at_member(&from, &to, frame),
            Frame::Opened(opened) => self.owns(b, |node| node.owner.opened(&from, opened)),
            Frame::Acked(acked) => self.owns(b, |node| node.owner.acked(&from, acked)),
            Frame::Accepted(accepted) => self.owns(b, |node| node.owner.accepted(&from, accepted)),
            Frame::Seal(claim, group, seal) => {
                let shown = seal.shown;
                let member = self.nodes[b].members.get_mut(&group);
                let answer = member.map_or(SealAnswer::Unknown, |member| member.seal(seal));
                self.count(match &answer {
                    SealAnswer::Tail { beyond, .. } if !beyond.is_empty() => {
                        "quorum: a member points to other owners"
                    }
                    SealAnswer::Tail { entries, .. } if entries.is_empty() => {
                        "quorum: a member holds nothing"
                    }
                    SealAnswer::Tail { .. } => "quorum: a member answers with its tail",
                    SealAnswer::Unknown => "quorum: a boot knows nothing",
                    SealAnswer::Newer(_) => "quorum: a member points to newer ones",
                    SealAnswer::Refused(_) => "quorum: a member refuses",
                });
                self.tell(|| format!("{to:?} answers claim {claim} for {group:?}: {answer:?}"));
                self.answered(&to, &group, claim, shown, &answer);
                self.look(b, &group, false);
                self.send(&to, &from, Frame::Answer(claim, group, answer));
            }
            Frame::Answer(claim, group, answer) => {
                let effects = self.claims[claim].takeover.answered(&group, &from, answer);
                self.taking(claim, effects);
            }
            Frame::Release(group, release) if group == to => {
                self.owns(b, |node| node.owner.release(release));
            }
            Frame::Release(group, release) => {
                self.count("quorum: something is released");
                if let Some(member) = self.nodes[b].members.get_mut(&group) {
                    member.release(release);
                    self.look(b, &group, false);
                }
            }
            Frame::Offer(group, key) => {
                if let Some(claim) = self.nodes[b].sessions.get(&key).copied() {
                    self.count("quorum: something is offered");
                    let effects = self.claims[claim].takeover.offered(&group, &from);
                    self.taking(claim, effects);
                }
            }
        }
    }

    fn at_member(&mut self, owner: &Boot, to: &Boot, frame: ToMember<u64>) {
        let node = index_of(&to.name);
        let carried = matches!(frame, ToMember::Open { .. });
        let asks_for_proof = self.asks_for_proof;
        let new = || GroupMember::new(to.clone(), owner.clone(), asks_for_proof);
        let member = self.nodes[node].members.entry(owner.clone()).or_insert_with(new);
        let answer = match frame {
            ToMember::Open { config, place, held } => member.open(config, place, held).map(Frame::Opened),
            ToMember::Logged { place, op } => member.logged(place, op).map(Frame::Acked),
            ToMember::Propose { configs } => member.propose(configs).map(Frame::Accepted),
        };
        self.look(node, owner, carried);
        if let Some(answer) = answer {
            let accepted = matches!(answer, Frame::Accepted(_));
            self.send_on_link(to, owner, answer);
            if accepted && !self.healed && self.rng.random_bool(0.1) {
                self.lose_acceptance(index_of(&owner.name), node);
            }
        }
    }

    /// An owner does not hear that a member has accepted a change, and now and then hears nothing more of the new members either.
    fn lose_acceptance(&mut self, owner: NodeIndex, member: NodeIndex) {
        self.count("quorum: an acceptance is lost");
        self.break_link(owner, member);
        if self.rng.random_bool(0.5) {
            for boot in self.nodes[owner].owner.latest().members.clone() {
                self.break_link(owner, index_of(&boot.name));
            }
        }
        // Whoever claims a session now may be sent to them.
        if self.rng.random_bool(0.5) {
            self.claim();
        }
    }
}
