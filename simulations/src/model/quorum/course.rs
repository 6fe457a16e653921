//! What happens, one thing after the other.

use std::time::Duration;

use pushmesh::internals::quorum::{Boot, Config, Takeover, TakeoverEffect};
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::cluster::index_of;
use crate::model::quorum::world::{Event, Node, World, boot, ends};

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
        let is_late = self.now > self.faults_end + Duration::from_secs(5);
        match event {
            Event::Deliver { from, to, link, frame } => self.deliver(from, to, link, frame),
            Event::Row { node, owner, config } => self.row(node, &owner, config),
            Event::View { node, key, fence, settled } if self.nodes[node].up => {
                *self.nodes[node].view.entry(key).or_default().entry(fence.clone()).or_default() |= settled;
                self.deposed(node, key, &fence);
            }
            Event::Over { node, boot } if self.nodes[node].up => self.over(node, &boot),
            Event::View { .. } | Event::Over { .. } => {}
            // The last ones have a second until they are judged.
            Event::Push | Event::Look | Event::Claim | Event::Offer if is_late => {}
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
                let millis = 100 / self.nodes.len() as u64;
                self.later(millis, Event::Look);
            }
            Event::Claim => {
                self.claim();
                self.later(150, Event::Claim);
            }
            Event::ClaimOnce => self.claim(),
            Event::Known { claim, at } => self.known_to_members(claim, at),
            Event::Offer => {
                self.offer();
                self.later(60, Event::Offer);
            }
            Event::Ask { claim, left } => self.ask(claim, left),
            Event::Fault if self.healed => {}
            Event::Fault => {
                self.fault();
                self.later(self.calm_ms, Event::Fault);
            }
            Event::Boot(node) => self.boot(node),
            Event::Join(node) => self.join(node),
            Event::Wake(node) => self.nodes[node].asleep = None,
            Event::Reconnected { ends, link } if self.links[&ends].number == link => self.reconnected(ends),
            Event::Reconnected { .. } => {}
        }
    }

    fn row(&mut self, node: NodeIndex, owner: &Boot, config: Config) {
        let at = &mut self.nodes[node];
        if !at.up || at.rows.get(owner).is_some_and(|row| row.epoch >= config.epoch) {
            return;
        }
        at.rows.insert(owner.clone(), config.clone());
        if let Some(member) = at.members.get_mut(owner) {
            member.announced(&config);
            self.look(node, owner, false);
        }
        self.each_claim(node, |takeover| takeover.announced(owner, &config));
    }

    fn over(&mut self, node: NodeIndex, boot: &Boot) {
        self.nodes[node].over.insert(boot.clone());
        self.owns(node, |node| node.owner.over(boot));
        self.each_claim(node, |takeover| takeover.over(boot));
    }

    /// All claims of a node that stand learn something.
    fn each_claim(
        &mut self,
        node: NodeIndex,
        learn: impl Fn(&mut Takeover<u64>) -> Vec<TakeoverEffect<u64>>,
    ) {
        for number in 0..self.claims.len() {
            if self.claims[number].node == node && !self.claims[number].over {
                let effects = learn(&mut self.claims[number].takeover);
                self.taking(number, effects);
            }
        }
    }

    /// An owner replaces members that are lost to it, and now and then others.
    fn look_at_members(&mut self) {
        let node = self.rng.random_range(0..self.nodes.len());
        let here = &self.nodes[node];
        if !here.up || here.cut || here.asleep.is_some() {
            return;
        }
        let intended = here.owner.latest().members.clone();
        let is_lost = |boot: &Boot| {
            let other = index_of(&boot.name);
            let Node { up, cut, asleep, boot: now, .. } = &self.nodes[other];
            !up || *cut || asleep.is_some() || now != boot || !self.links[&ends(node, other)].up
        };
        let wants = (self.nodes.len() - 1).min(2);
        let is_short = intended.len() < wants || intended.iter().any(is_lost);
        let changes_mind = if here.owner.is_changing() && !self.healed { 0.3 } else { 0.05 };
        if !(is_short || self.rng.random_bool(changes_mind)) || self.rng.random_bool(0.3) {
            return;
        }
        let mut others: Vec<_> = self.nodes.iter().map(|other| other.boot.clone()).collect();
        let own = others.swap_remove(node);
        others.retain(|boot| *boot != own && !is_lost(boot));
        let mut members = Vec::new();
        while members.len() < wants && !others.is_empty() {
            members.push(others.swap_remove(self.rng.random_range(0..others.len())));
        }
        if members.is_empty() || members == intended {
            return;
        }
        self.tell(|| format!("the members of {own:?} are to be {members:?}"));
        if self.nodes[node].owner.is_changing() {
            self.count("quorum: a change is followed by another one");
        }
        self.owns(node, |node| node.owner.change(members));
    }

    fn fault(&mut self) {
        let node = self.rng.random_range(0..self.nodes.len());
        let other = self.rng.random_range(0..self.nodes.len());
        match self.rng.random_range(0..10) {
            0..3 => self.crash(node),
            3..5 if node != other => self.break_link(node, other),
            5..7 => {
                self.tell(|| format!("node {node} is cut off"));
                self.nodes[node].cut = true;
                self.later(100, Event::Join(node));
            }
            7..9 if self.nodes[node].asleep.is_none() => {
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
        self.count("quorum: a node crashes");
        self.nodes[node].up = false;
        self.nodes[node].asleep = None;
        self.break_links(node);
        self.crashed(node);
        self.later(80, Event::Boot(node));
    }

    fn boot(&mut self, node: NodeIndex) {
        if self.nodes[node].up {
            return;
        }
        let former = self.nodes[node].boot.clone();
        let new = boot(node, former.incarnation.0 + 1);
        self.tell(|| format!("{new:?} boots"));
        let Node { cut, skew_ms, .. } = self.nodes[node];
        self.nodes[node] = Node { cut, ..Node::new(new, skew_ms) };
        for other in self.others(node) {
            self.later(30, Event::Over { node: other, boot: former.clone() });
            for boot in self.nodes[other].over.clone() {
                self.later(30, Event::Over { node, boot });
            }
        }
        self.later(30, Event::Over { node, boot: former });
        self.break_links(node);
        // It hears of the groups and of the claims from others.
        for other in self.others(node) {
            for (owner, config) in self.nodes[other].rows.clone() {
                self.later(30, Event::Row { node, owner, config });
            }
            for (key, claims) in self.nodes[other].view.clone() {
                for (fence, settled) in claims {
                    self.later(30, Event::View { node, key, fence, settled });
                }
            }
        }
    }

    fn join(&mut self, node: NodeIndex) {
        self.nodes[node].cut = false;
        self.break_links(node);
    }

    fn break_links(&mut self, node: NodeIndex) {
        for other in self.others(node) {
            self.break_link(node, other);
        }
    }

    /// All nodes but that one.
    fn others(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..self.nodes.len()).filter(move |other| *other != node)
    }

    fn reconnected(&mut self, (a, b): (NodeIndex, NodeIndex)) {
        let works = |node: &Node| node.up && !node.cut;
        if !(works(&self.nodes[a]) && works(&self.nodes[b])) {
            return;
        }
        if let Some(link) = self.links.get_mut(&(a, b)) {
            link.up = true;
        }
        for (owner, member) in [(a, b), (b, a)] {
            let boot = self.nodes[member].boot.clone();
            self.owns(owner, |node| node.owner.reconnected(&boot));
        }
    }

    pub(super) fn heal(&mut self) {
        self.healed = true;
        for node in 0..self.nodes.len() {
            self.nodes[node].asleep = None;
            self.boot(node);
        }
        (0..self.nodes.len()).for_each(|node| self.join(node));
    }
}
