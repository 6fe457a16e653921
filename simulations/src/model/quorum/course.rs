//! What happens, one thing after the other.

use std::time::Duration;

use pushmesh::id::Stamp;
use pushmesh::internals::quorum::{
    Boot, Config, Deposed, Entry, Fence, GroupMember, GroupOwner, OwnerEffect, SealAnswer, Sealing,
    SealingEffect, ToMember,
};
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::cluster::index_of;
use crate::model::quorum::world::{Claim, Event, Frame, KEYS, World, boot, key};

impl World {
    /// Lets everything happen that is due until then, or until something is wrong.
    pub(super) fn run_until(&mut self, until: Duration) {
        while self.record.failure.is_none()
            && let Some((at, event)) = self.queue.next(until)
        {
            self.now = at;
            self.happen(event);
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, link, frame } => self.deliver(from, to, link, frame),
            Event::Row { node, config } => self.row(node, config),
            Event::Over(boot) => {
                let effects = self.owner.as_mut().map(|owner| owner.over(&boot));
                self.effects(effects.unwrap_or_default());
            }
            // The last ones have a second until they are judged.
            Event::Push | Event::Look if self.now > self.faults_end + Duration::from_secs(5) => {}
            Event::Push => {
                self.push();
                self.later(20, Event::Push);
            }
            Event::Ack => {
                self.ack();
                self.later(60, Event::Ack);
            }
            Event::Look => {
                self.look_at_members();
                self.later(40, Event::Look);
            }
            Event::Claim => {
                self.claim();
                self.later(150, Event::Claim);
            }
            Event::Ask { claim, left } => self.ask(claim, left),
            Event::Fault if self.healed => {}
            Event::Fault => {
                self.fault();
                self.later(120, Event::Fault);
            }
            Event::Boot(node) => self.boot(node),
            Event::Join(node) => self.join(node),
            Event::Wake(node) => self.nodes[node].asleep = None,
            Event::Reconnected { node, link } if link == self.nodes[node].link => self.reconnected(node),
            Event::Reconnected { .. } => {}
        }
    }

    fn deliver(&mut self, from: Boot, to: Boot, link: Option<u64>, frame: Frame) {
        let (a, b) = (index_of(&from.name), index_of(&to.name));
        let other = if a == 0 { b } else { a };
        if link.is_some_and(|link| link != self.nodes[other].link)
            || self.nodes[a].cut
            || self.nodes[b].cut
            || !self.nodes[b].up
            || self.nodes[b].boot != to
        {
            return;
        }
        if let Some(wakes) = self.nodes[b].asleep {
            let event = Event::Deliver { from, to, link, frame };
            self.queue.put(wakes, event);
            return;
        }
        self.record.mark([self.now.as_nanos() as u64, a as u64, b as u64]);
        let owner = from.clone();
        match frame {
            Frame::ToMember(frame) => {
                let carried = matches!(frame, ToMember::Open { .. });
                let member = &mut self.nodes[b].member;
                let answer = match frame {
                    ToMember::Open { config, place, entries, fences } => {
                        member.open(config, place, entries, fences).map(Frame::Opened)
                    }
                    ToMember::Logged { place, op } => member.logged(place, op).map(Frame::Acked),
                    ToMember::Propose { configs } => member.propose(configs).map(Frame::Accepted),
                };
                self.look(b, carried);
                if let Some(answer) = answer {
                    let accepted = matches!(answer, Frame::Accepted(_));
                    self.send(&to, &owner, answer, true);
                    if accepted && !self.healed && self.rng.random_bool(0.1) {
                        self.lose_acceptance(b);
                    }
                }
            }
            Frame::Opened(opened) => self.owns(|owner| owner.opened(&from, opened)),
            Frame::Acked(acked) => self.owns(|owner| owner.acked(&from, acked)),
            Frame::Accepted(accepted) => self.owns(|owner| owner.accepted(&from, accepted)),
            Frame::Seal(claim, seal) => {
                let shown = seal.shown;
                let answer = self.nodes[b].member.seal(seal);
                self.count(match &answer {
                    SealAnswer::Tail { entries, .. } if entries.is_empty() => {
                        "quorum: a member holds nothing"
                    }
                    SealAnswer::Tail { .. } => "quorum: a member answers with its tail",
                    SealAnswer::Unknown => "quorum: a boot knows nothing",
                    SealAnswer::Newer(_) => "quorum: a member points to newer ones",
                    SealAnswer::Refused(_) => "quorum: a member refuses",
                });
                self.tell(|| format!("{to:?} answers claim {claim}: {answer:?}"));
                self.answered(&to, claim, shown, &answer);
                self.look(b, false);
                self.send(&to, &from, Frame::Answer(claim, answer), false);
            }
            Frame::Answer(claim, answer) => {
                let effects = self.claims[claim].sealing.answered(&from, answer);
                self.sealing(claim, effects);
            }
        }
    }

    /// The owner does not hear that a member has accepted a change, and now and then hears nothing more of the new members either.
    fn lose_acceptance(&mut self, node: NodeIndex) {
        self.count("quorum: an acceptance is lost");
        self.break_link(node);
        let latest = self.owner.as_ref().map(|owner| owner.latest().members.clone());
        for boot in latest.filter(|_| self.rng.random_bool(0.5)).unwrap_or_default() {
            self.break_link(index_of(&boot.name));
        }
        // Whoever claims a session now may be sent to them.
        if self.rng.random_bool(0.5) {
            self.claim();
        }
    }

    fn owns(&mut self, work: impl FnOnce(&mut GroupOwner<u64>) -> Vec<OwnerEffect<u64>>) {
        let effects = self.owner.as_mut().map(work).unwrap_or_default();
        self.effects(effects);
    }

    /// Does what the owner says.
    fn effects(&mut self, effects: Vec<OwnerEffect<u64>>) {
        let owner = self.nodes[0].boot.clone();
        for effect in effects {
            match effect {
                OwnerEffect::Send { to, frame } => {
                    if matches!(frame, ToMember::Open { .. }) {
                        self.count("quorum: a boot is opened");
                    }
                    self.send(&owner, &to, Frame::ToMember(frame), true);
                }
                OwnerEffect::Stored { key, stamp, number } => {
                    self.tell(|| format!("stored {:?} {} {number}", key.device, stamp.raw()));
                    self.count("quorum: stored");
                    self.stored(key, stamp, number);
                }
                OwnerEffect::Deposed { key, fence } => {
                    self.tell(|| format!("deposed {:?} {fence:?}", key.device));
                    self.count("quorum: an owner is deposed");
                }
                OwnerEffect::Announce { config, orphaned } => {
                    self.tell(|| format!("announced {config:?}, orphaned {orphaned}"));
                    self.count(if orphaned {
                        "quorum: a group is orphaned"
                    } else {
                        "quorum: members have changed"
                    });
                    self.announced(&config, orphaned);
                    for node in 0..self.nodes.len() {
                        let event = Event::Row { node, config: config.clone() };
                        let travels = if !self.healed && self.rng.random_bool(0.2) { 400 } else { 40 };
                        self.later(if node == 0 { 1 } else { travels }, event);
                    }
                    // By a node that has not heard of it, as like as not.
                    if !self.healed && self.rng.random_bool(0.3) {
                        self.claim();
                    }
                }
            }
        }
    }

    fn sealing(&mut self, claim: usize, effects: Vec<SealingEffect<u64>>) {
        for effect in effects {
            match effect {
                SealingEffect::Ask { to, seal } => {
                    let from = self.claims[claim].boot.clone();
                    self.send(&from, &to, Frame::Seal(claim, seal), false);
                }
                SealingEffect::Sealed(entries) => {
                    self.tell(|| format!("claim {claim} has sealed {} entries", entries.len()));
                    self.sealed(claim, &entries);
                }
                SealingEffect::Refused(_) => self.count("quorum: a claim is refused"),
            }
        }
    }

    fn row(&mut self, node: NodeIndex, config: Config) {
        if !self.nodes[node].up || self.nodes[node].row.epoch >= config.epoch {
            return;
        }
        self.nodes[node].row = config.clone();
        self.nodes[node].member.announced(&config);
        self.look(node, false);
        let here = self.nodes[node].boot.clone();
        for claim in 0..self.claims.len() {
            if self.claims[claim].boot == here {
                let effects = self.claims[claim].sealing.announced(&config);
                self.sealing(claim, effects);
            }
        }
    }

    fn push(&mut self) {
        let key = key(self.rng.random_range(0..KEYS));
        let Some((stamp, number)) = self.sessions.get(&key).copied() else { return };
        let entry = Entry { key, stamp, number: number + 1, message: number + 1 };
        match self.owner.as_mut().map(|owner| owner.append(entry)) {
            Some(Ok(effects)) => {
                self.sessions.insert(key, (stamp, number + 1));
                self.effects(effects);
            }
            // Its client comes back, now and then.
            Some(Err(Deposed(fence))) if self.rng.random_bool(0.05) => {
                self.count("quorum: an owner claims again");
                let later = Stamp::next(self.clock_ms(0), Some(fence.stamp));
                self.sessions.insert(key, (later, 0));
            }
            Some(Err(_)) | None => {}
        }
    }

    /// A client acknowledges a part of what it was sent.
    fn ack(&mut self) {
        let key = key(self.rng.random_range(0..KEYS));
        let Some((stamp, last)) = self.sessions.get(&key).copied().filter(|(_, last)| *last > 0) else {
            return;
        };
        let upto = self.rng.random_range(1..=last);
        for number in 1..=upto {
            self.history.forgotten.insert((key, stamp, number));
        }
        self.owns(|owner| owner.trim(key, stamp, upto));
    }

    /// The owner replaces members that are lost to it, and now and then others.
    fn look_at_members(&mut self) {
        let Some(owner) = &self.owner else { return };
        let intended = owner.latest().members.clone();
        let is_lost = |boot: &Boot| {
            let node = &self.nodes[index_of(&boot.name)];
            !node.up || node.cut || !node.linked || node.boot != *boot || node.asleep.is_some()
        };
        let wants = (self.nodes.len() - 1).min(2);
        let is_short = intended.len() < wants || intended.iter().any(is_lost);
        let changes_mind = if owner.is_changing() && !self.healed { 0.3 } else { 0.05 };
        if !(is_short || self.rng.random_bool(changes_mind)) || self.nodes[0].cut || self.rng.random_bool(0.3)
        {
            return;
        }
        let mut others: Vec<_> = (1..self.nodes.len()).map(|node| self.nodes[node].boot.clone()).collect();
        others.retain(|boot| !is_lost(boot));
        let mut members = Vec::new();
        while members.len() < wants && !others.is_empty() {
            members.push(others.swap_remove(self.rng.random_range(0..others.len())));
        }
        if members.is_empty() || members == intended {
            return;
        }
        self.tell(|| format!("members are to be {members:?}"));
        if self.owner.as_ref().is_some_and(|owner| owner.is_changing()) {
            self.count("quorum: a change is followed by another one");
        }
        self.owns(|owner| owner.change(members));
        if let Some(config) = self.owner.as_ref().map(|owner| owner.latest().clone()) {
            self.history.configs.insert(config.epoch, config);
        }
    }

    fn claim(&mut self) {
        let node = self.rng.random_range(1..self.nodes.len());
        if !self.nodes[node].up || self.nodes[node].row.epoch == 0 {
            return;
        }
        let key = key(self.rng.random_range(0..KEYS));
        let own = self.sessions.get(&key).map(|(stamp, _)| *stamp);
        let seen = own.filter(|_| self.rng.random_bool(0.9));
        let stamp = Stamp::next(self.clock_ms(node), seen);
        let shown = own.filter(|_| self.rng.random_bool(0.7));
        let boot = self.nodes[node].boot.clone();
        let fence = Fence { stamp, by: boot.clone() };
        let number = self.claims.len();
        self.tell(|| format!("claim {number} of {:?}: {fence:?}, shown {shown:?}", key.device));
        let sealing = Sealing::new(key, fence, shown, self.nodes[node].row.clone());
        self.claims.push(Claim { boot, key, begun: self.now, sealing });
        self.ask(number, 20);
    }

    fn ask(&mut self, claim: usize, left: u32) {
        let Claim { boot, sealing, .. } = &self.claims[claim];
        let node = &self.nodes[index_of(&boot.name)];
        if !node.up || node.boot != *boot || left == 0 {
            return;
        }
        let effects = sealing.ask();
        if !effects.is_empty() {
            self.sealing(claim, effects);
            self.later(25, Event::Ask { claim, left: left - 1 });
        }
    }

    fn fault(&mut self) {
        let node = self.rng.random_range(0..self.nodes.len());
        match self.rng.random_range(0..10) {
            0..3 if node > 0 => self.crash(node),
            0 if self.rng.random_bool(0.1) => {
                self.tell(|| "quorum: the owner crashes".to_owned());
                self.count("quorum: the owner crashes");
                self.nodes[0].up = false;
                self.owner = None;
            }
            1..5 if node > 0 => self.break_link(node),
            5..7 => {
                self.tell(|| format!("node {node} is cut off"));
                self.nodes[node].cut = true;
                self.later(100, Event::Join(node));
            }
            7..9 if node > 0 && self.nodes[node].asleep.is_none() => {
                let time = Duration::from_millis(self.rng.random_range(20..400));
                self.tell(|| format!("node {node} stands still for {time:?}"));
                self.nodes[node].asleep = Some(self.now + time);
                self.queue.put(self.now + time, Event::Wake(node));
            }
            _ => {}
        }
    }

    fn crash(&mut self, node: NodeIndex) {
        if !self.nodes[node].up {
            return;
        }
        self.tell(|| format!("node {node} crashes"));
        self.count("quorum: a member crashes");
        self.nodes[node].up = false;
        self.nodes[node].asleep = None;
        self.nodes[node].link += 1;
        self.nodes[node].linked = false;
        self.later(80, Event::Boot(node));
    }

    fn boot(&mut self, node: NodeIndex) {
        if self.nodes[node].up {
            return;
        }
        let former = self.nodes[node].boot.clone();
        let new = boot(node, former.incarnation.0 + 1);
        self.tell(|| format!("{new:?} boots"));
        let owner = self.nodes[0].boot.clone();
        self.nodes[node].member = GroupMember::new(new.clone(), owner, self.asks_for_proof);
        self.nodes[node].boot = new;
        self.nodes[node].up = true;
        self.later(30, Event::Over(former));
        self.link_later(20, node);
        // It hears of the group from others.
        let known = self.nodes.iter().map(|node| &node.row).max_by_key(|row| row.epoch).cloned();
        self.nodes[node].row = Config { epoch: 0, members: Vec::new() };
        if let Some(config) = known.filter(|row| row.epoch > 0) {
            self.later(30, Event::Row { node, config });
        }
    }

    fn join(&mut self, node: NodeIndex) {
        self.nodes[node].cut = false;
        let linked = if node == 0 { 1..self.nodes.len() } else { node..node + 1 };
        linked.into_iter().for_each(|node| self.break_link(node));
    }

    fn reconnected(&mut self, node: NodeIndex) {
        self.nodes[node].linked = true;
        let boot = self.nodes[node].boot.clone();
        if self.nodes[node].up && !self.nodes[node].cut && !self.nodes[0].cut {
            self.owns(|owner| owner.reconnected(&boot));
        }
    }

    pub(super) fn heal(&mut self) {
        self.healed = true;
        for node in 1..self.nodes.len() {
            self.nodes[node].asleep = None;
            self.boot(node);
        }
        (0..self.nodes.len()).for_each(|node| self.join(node));
    }

    fn clock_ms(&self, node: NodeIndex) -> u64 {
        self.now.as_millis() as u64 + self.nodes[node].skew_ms + 10
    }
}
