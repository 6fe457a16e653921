//! What a run does to its world: the steps of its plan, what ails a node, and the end of all that.

use crate::event::Event;
use crate::host::Command;
use crate::id::{NodeIndex, node_name};
use crate::network::Weather;
use crate::plan::{Ailment, Identity, Step};
use crate::run::stage::{CLIENTS, Run};

impl Run<'_> {
    /// Carries out a step of the plan.
    pub(super) fn step(&mut self, mut step: Step) {
        match &mut step {
            Step::Connect { client, node } => self.population.connect(*client, *node),
            Step::Leave { client, politely } => self.population.leave(*client, *politely),
            Step::Break { client } => self.population.drop_all(*client),
            Step::Push { node, aim } => {
                let Some(boot) = self.boot_of(*node) else { return };
                self.pushes += 1;
                let connected = self.population.connected_once();
                // A node that stops takes no more.
                let _ = boot.commands.try_send(Command::Push { push: self.pushes, aim: *aim, connected });
            }
            Step::Call { backend, node, ask } => self.call(*backend, *node, ask.clone()),
            Step::Stall { client, for_ms } => self.population.stall(*client, *for_ms),
            Step::Say { client } => self.population.say(*client),
            Step::Blunder { client, blunder } => self.population.blunder(*client, *blunder),
            Step::Weather(weather) => self.world.network().set_weather(*weather),
            Step::Partition(pairs) => {
                for (from, to) in pairs {
                    self.world.network().cut(self.addresses[*from], self.addresses[*to]);
                }
            }
            Step::Join => self.world.network().join(),
            Step::Crash { node } => {
                if self.boot_of(*node).is_none() {
                    return;
                }
                self.crash(*node);
            }
            Step::Stop { node } => {
                let Some(boot) = self.boot_of(*node) else { return };
                self.kept_down.insert(*node);
                // The inbox is far from full: a node reads it at once.
                let _ = boot.commands.try_send(Command::Stop);
            }
            Step::Restart { node, identity } => {
                if !self.kept_down.remove(node) {
                    return;
                }
                *identity = self.come_back_as(*node, *identity);
            }
            Step::Swallow(above) => self.world.network().swallow_above(*above),
            Step::Slow(pairs, delay) => {
                for (from, to) in pairs {
                    self.world.network().set_slow(self.addresses[*from], self.addresses[*to], *delay);
                }
            }
            Step::Hurry => self.world.network().hurry(),
            Step::Pause { node } => {
                if self.boot_of(*node).is_none() || !self.still.insert(*node) {
                    return;
                }
                self.world.network().set_still(self.addresses[*node], true);
                self.sim.hold(node_name(*node), CLIENTS);
                self.world.tell(Event::HeldStill { node: *node });
            }
            Step::Resume { node } => self.go_on(*node),
            Step::Clock { node, ahead_ms } => self.world.set_clock(&node_name(*node), *ahead_ms),
            Step::Late(probability) => self.world.set_lateness(*probability),
            Step::Ail { node, how } => self.ail(*node, *how),
        }
        self.coverage.step(&step);
        let told_otherwise = matches!(
            step,
            Step::Push { .. }
                | Step::Connect { .. }
                | Step::Call { .. }
                | Step::Stall { .. }
                | Step::Say { .. }
                | Step::Blunder { .. }
                | Step::Pause { .. }
                | Step::Resume { .. }
        );
        if !told_otherwise {
            self.world.tell(Event::Planned(format!("{step:?}")));
        }
    }

    /// As whom a node is to come back, and does.
    fn come_back_as(&self, node: NodeIndex, identity: Identity) -> Identity {
        match identity {
            // Only a node that is down has a disk that nobody uses. It may stop just now.
            _ if !self.down.contains(&node) => Identity::Same,
            Identity::Forgotten if !self.hosts.wipe(node).expect("a temporary folder can be removed") => {
                Identity::Same
            }
            Identity::Replaced => {
                self.hosts.replace(node);
                identity
            }
            Identity::Same | Identity::Forgotten => identity,
        }
    }

    /// Something is wrong with a node until all is healed.
    fn ail(&mut self, node: NodeIndex, how: Ailment) {
        self.ailing.insert(node, how);
        match how {
            Ailment::Dead if self.down.contains(&node) => _ = self.kept_down.insert(node),
            Ailment::Dead => self.crash(node),
            Ailment::Cut | Ailment::Deaf | Ailment::Mute | Ailment::Slow(_) => {}
        }
        let (mut network, one) = (self.world.network(), self.addresses[node]);
        for other in self.addresses.iter().copied().filter(|other| *other != one) {
            if matches!(how, Ailment::Cut | Ailment::Deaf) {
                network.cut(other, one);
            }
            if matches!(how, Ailment::Cut | Ailment::Mute) {
                network.cut(one, other);
            }
            if let Ailment::Slow(delay) = how {
                network.set_slow(one, other, delay);
                network.set_slow(other, one, delay);
            }
        }
        drop(network);
        self.population.come_back_to(self.core().into_iter().collect());
    }

    /// Ends all faults, and all that ails.
    pub(super) fn heal(&mut self) {
        self.world.heal();
        self.world.network().set_weather(Weather::FAIR);
        self.world.network().join();
        self.world.network().swallow_above(None);
        self.world.network().hurry();
        self.world.set_lateness(0.0);
        for node in self.still.clone() {
            self.go_on(node);
        }
        self.kept_down.clear();
        self.ailing.clear();
        self.population.come_back_to((0..self.plan.nodes).collect());
        self.world.tell(Event::Planned("Heal".to_owned()));
    }
}
