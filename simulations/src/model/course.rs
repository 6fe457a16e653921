//! The course of a run of the fast level: what is due happens, one thing after the other, and the steps of the plan.

use std::time::Duration;

use pushmesh::internals::{Digest, Position};
use rand::Rng;

use crate::id::{NodeIndex, node_name};
use crate::model::boot::Boot;
use crate::model::cluster::Cluster;
use crate::model::due::{Delivery, Event};
use crate::model::id::BootId;
use crate::model::message::Message;
use crate::model::plan::Step;
use crate::network::Weather;

impl Cluster {
    /// Lets everything happen that is due until then, or until something is wrong.
    pub(super) fn run_until(&mut self, until: Duration) {
        while self.record.failure.is_none()
            && let Some((at, event)) = self.queue.next(until)
        {
            debug_assert!(at >= self.now, "time does not go back");
            self.now = at;
            self.happen(event);
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event) {
        let boot = match &event {
            Event::Step(index) => {
                let step = self.plan.steps[*index].1.clone();
                return self.step(step);
            }
            Event::Reboot(node) => {
                self.machines[*node].reboots = false;
                return self.boot(*node);
            }
            Event::Round(boot)
            | Event::KeepAlive(boot)
            | Event::Gossip(boot)
            | Event::Compare(boot)
            | Event::Farewell(boot)
            | Event::Connected { boot, .. }
            | Event::DialOver { boot, .. }
            | Event::Greeted { boot, .. }
            | Event::Welcomed { boot, .. }
            | Event::Retired { boot, .. }
            | Event::Closed { boot, .. }
            | Event::HangUp { boot, .. }
            | Event::Broken { boot, .. }
            | Event::Resubscribe { boot, .. }
            | Event::Pump { boot, .. }
            | Event::Release { boot, .. }
            | Event::Elapsed { boot, .. } => *boot,
            Event::Deliver(delivery) => delivery.to,
        };
        // It is out of its place while it works, so that it and the rest can be changed.
        let Some(mut working) = self.boots[boot].take() else { return };
        let Some(event) = self.arrive(working.node, event) else {
            self.boots[boot] = Some(working);
            return;
        };
        let wakes = self.machines[working.node].asleep_until;
        if wakes > self.now {
            self.queue.put(wakes, event);
            self.boots[boot] = Some(working);
            return;
        }
        self.mark(boot, &event);
        let stays = self.work(&mut working, event);
        if stays && working.overlay.self_superseded_by().is_none() {
            self.boots[boot] = Some(working);
            return;
        }
        let node = working.node;
        self.machines[node].boot = None;
        if !working.left {
            self.machines[node].reboots = true;
            self.tell(|_| format!("{} was superseded", node_name(node)));
            self.count("member: superseded itself, starts again");
            let pause = Duration::from_millis(self.choice.random_range(200..1_500));
            self.queue.put(self.now + pause, Event::Reboot(node));
        }
    }

    /// Lets a message pass to the machine of `node`, unless the way is cut.
    fn arrive(&mut self, node: NodeIndex, event: Event) -> Option<Event> {
        let Event::Deliver(mut delivery) = event else { return Some(event) };
        if !delivery.arrived && !self.network.is_open(delivery.from_node, node) {
            if delivery.is_reliable() {
                self.held.push(*delivery);
            }
            return None;
        }
        delivery.arrived = true;
        Some(Event::Deliver(delivery))
    }

    /// Does what is due for a boot. `false`: the process ends by it.
    fn work(&mut self, boot: &mut Boot, event: Event) -> bool {
        let id = boot.id;
        match event {
            Event::Step(_) | Event::Reboot(_) => {}
            Event::Round(_) => {
                self.round(boot);
                self.queue.put(self.now + pushmesh::limits::OVERLAY_TICK, Event::Round(id));
            }
            Event::KeepAlive(_) => {
                self.keep_alive(boot);
                self.queue.put(self.now + pushmesh::limits::LINK_KEEP_ALIVE, Event::KeepAlive(id));
            }
            Event::Gossip(_) => {
                self.gossip(boot);
                self.queue.put(self.now + pushmesh::limits::GOSSIP_INTERVAL, Event::Gossip(id));
            }
            Event::Compare(_) => {
                self.compare(boot);
                self.queue.put(self.now + pushmesh::limits::DIGEST_INTERVAL, Event::Compare(id));
            }
            Event::Connected { to, link, .. } => self.connected(boot, to, link),
            Event::DialOver { to, link, .. } => self.dial_over(boot, to, link),
            Event::Greeted { hello, .. } => self.greeted(boot, *hello),
            Event::Welcomed { from, link, answer, .. } => return self.welcomed(boot, from, link, *answer),
            Event::Retired { link, .. } => self.retired(boot, link),
            Event::Closed { from, link, .. } => self.closed(boot, from, link),
            Event::HangUp { peer, link, .. } => self.hang_up(boot, peer, link),
            Event::Broken { stream, .. } => self.broken(boot, stream),
            Event::Resubscribe { peer, link, .. } => {
                if let Some(incarnation) = boot.link_mut(peer, link).map(|link| link.incarnation) {
                    self.subscribe(boot, (peer, link), peer, incarnation, true);
                }
            }
            Event::Pump { stream, .. } => self.pump(boot, stream),
            Event::Release { key, stamp, .. } => self.release(boot, key, stamp),
            Event::Elapsed { asker, timer, .. } => self.elapsed(boot, asker, timer),
            Event::Farewell(_) => {
                let retired = boot.retired.iter().map(|(link, (peer, _))| (*peer, *link));
                let links = boot.links.iter().map(|(peer, link)| (*peer, link.id)).chain(retired);
                let links: Vec<_> = links.collect();
                links.into_iter().for_each(|link| self.send_on(boot, link, Message::Goodbye));
                return false;
            }
            Event::Deliver(delivery) => self.receive(boot, *delivery),
        }
        true
    }

    fn receive(&mut self, boot: &mut Boot, delivery: Delivery) {
        let (from, link, now) = (delivery.from_node, delivery.link, self.now);
        let Some(held) = boot.link_mut(from, link) else {
            // It has overtaken the welcome, and waits.
            if boot.dialling.get(&from).is_some_and(|dialling| dialling.link == link) {
                self.queue.put(now + OVERTAKEN, Event::Deliver(Box::new(delivery)));
            }
            return;
        };
        held.hear(now, now);
        match delivery.message {
            Message::Gossip(table) => {
                boot.heard.merge(now, self.plan.bounds.gossip_lost_after, &table);
                // In a small cluster everybody is told in each round, so that answers would only cost time.
                if self.plan.nodes > GOSSIP_ANSWERED_ABOVE {
                    let table = boot.heard.table();
                    self.send(boot, from, Message::GossipBack(table));
                }
            }
            Message::GossipBack(table) => boot.heard.merge(now, self.plan.bounds.gossip_lost_after, &table),
            Message::Subscribe { stream, subscribe } => {
                self.subscribed(boot, from, link, stream, subscribe);
            }
            Message::Frame { stream, frame } => self.take(boot, from, stream, frame),
            Message::Stop { stream } => _ = boot.servers.remove(&stream),
            Message::Question { number, digests } => self.answer(boot, from, number, &digests),
            Message::Answer { number, news } => self.answered(boot, from, number, &news),
            Message::Ask { key, question, asker, number, proven } => {
                let name = self.names[from].clone();
                let answer = self.answer_question(boot, &name, key, question, proven);
                self.send(boot, from, Message::Told { asker, number, answer });
            }
            Message::Told { asker, number, answer } => self.told(boot, Some(from), asker, number, &answer),
            Message::Goodbye if boot.links.get(&from).is_some_and(|held| held.id == link) => {
                self.link_down(boot, from, true);
            }
            Message::Goodbye => self.closed(boot, from, link),
        }
    }

    fn step(&mut self, step: Step) {
        self.tell(|_| format!("{step:?}"));
        match step {
            Step::Open { user, device, node, token } => self.open(user, device, node, token),
            Step::Close { user, device } => self.close(user, device),
            Step::Weather(weather) => {
                self.count("fault: weather");
                self.network.set_weather(weather);
            }
            Step::Cut(pairs) => {
                self.count("fault: cut");
                self.network.cut(&pairs);
            }
            Step::Join => self.join(),
            Step::Crash { node } => {
                if let Some(boot) = self.machines[node].boot.take() {
                    self.count("fault: crash");
                    self.boots[boot] = None;
                }
            }
            Step::Leave { node } => self.leave(node),
            Step::Boot { node } => self.boot(node),
            Step::SetBack { node, by_ms } => {
                self.count("fault: clock set back");
                let machine = &mut self.machines[node];
                match by_ms {
                    Some(by_ms) => machine.clock_ms -= by_ms,
                    None => machine.repeats = true,
                }
            }
            Step::Corrupt { node, owner } => self.corrupt(node, owner),
            Step::Sleep { node, time } => {
                self.count("fault: node slept");
                let until = self.now + time;
                self.machines[node].asleep_until = until;
                self.network.is_away(node, until);
            }
        }
    }

    fn join(&mut self) {
        self.network.join(self.now);
        // At once, so that nothing that is on its way overtakes them.
        for delivery in std::mem::take(&mut self.held) {
            if self.boots[delivery.from].is_none() {
                continue;
            }
            let wakes_now = self.wakes_now(delivery.to);
            let event = Event::Deliver(Box::new(delivery));
            // What came before the cut waits in the queue, for a node that wakes in this very moment.
            if wakes_now { self.queue.put(self.now, event) } else { self.happen(event) }
        }
    }

    fn wakes_now(&self, boot: BootId) -> bool {
        self.boots[boot].as_deref().is_some_and(|boot| self.machines[boot.node].asleep_until == self.now)
    }

    fn leave(&mut self, node: NodeIndex) {
        let Some(id) = self.running(node) else { return };
        let Some(mut boot) = self.boots[id].take() else { return };
        self.count("fault: stop in good order");
        boot.left = true;
        for (key, session) in std::mem::take(&mut boot.sessions) {
            self.release(&mut boot, key, session.stamp);
        }
        let pause = Duration::from_millis(self.choice.random_range(100..1_000));
        self.queue.put(self.now + pause, Event::Farewell(id));
        self.boots[id] = Some(boot);
    }

    /// Makes a copy wrong: it lacks a row, and is ahead of its owner.
    fn corrupt(&mut self, node: NodeIndex, owner: NodeIndex) {
        let name = self.names[owner].clone();
        let Some(boot) = self.running(node).and_then(|id| self.boots[id].as_deref_mut()) else { return };
        let Some(head) = boot.replica.head(&name) else { return };
        let Some(mut entries) = boot.replica.chunk(&name, None, usize::MAX) else { return };
        let Position { incarnation, version } = head.digest.position;
        let position = Position { incarnation, version: version + self.choice.random_range(1..4) };
        entries.pop();
        let hash = entries.iter().fold(0, |hash, entry| hash ^ entry.claim.hash(&entry.key));
        if let Ok(Some(mut snapshot)) = boot.replica.begin(&name, position) {
            snapshot.fill(&entries);
            let ended = snapshot.end(Digest { position, hash }, entries.len() as u64);
            self.history.forge(owner, incarnation);
            if ended.is_ok() {
                self.count("fault: copy made wrong");
            }
        }
    }

    /// Ends all faults; nodes that do not run boot, unless some stay away.
    pub(super) fn heal(&mut self, all: bool) {
        self.tell(|_| "Heal".to_owned());
        self.healed = true;
        self.network.set_weather(Weather::FAIR);
        self.join();
        for node in 0..self.plan.nodes {
            // Who is leaving is as good as gone.
            if let Some(id) = self.machines[node].boot
                && self.boots[id].as_deref().is_some_and(|boot| boot.left)
            {
                self.boots[id] = None;
                self.machines[node].boot = None;
            }
            if all || node < 2 {
                self.boot(node);
            }
        }
    }

    /// Follows what happens, and tells of messages.
    fn mark(&mut self, boot: BootId, event: &Event) {
        let kind = match event {
            Event::Deliver(delivery) => delivery.message.number(),
            Event::Round(_) => 20,
            Event::KeepAlive(_) => 21,
            _ => 22,
        };
        self.record.mark([self.now.as_nanos() as u64, boot as u64, kind]);
        if let Event::Deliver(delivery) = event
            && self.record.lines.is_some()
            && !matches!(delivery.message, Message::Gossip(_) | Message::GossipBack(_))
        {
            let (from, to) = (delivery.from, delivery.to);
            self.tell(|_| format!("boot {to} < boot {from} {:?}", delivery.message));
        }
    }
}

/// In larger clusters gossip is answered, as chitchat does it.
const GOSSIP_ANSWERED_ABOVE: usize = 6;
/// A message that has overtaken its link is looked at again after this.
const OVERTAKEN: Duration = Duration::from_millis(1);
