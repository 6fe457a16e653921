//! How a node of the fast level boots: under which incarnation, and knowing nobody.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pushmesh::config::Tuning;
use pushmesh::id::Incarnation;
use pushmesh::internals::{
    Awake, KeyHasher, Mirror, Overlay, OverlayTimers, Probing, Replica, Returned, Roster, decide_incarnation,
};
use rand::Rng;

use crate::id::{NodeIndex, node_name};
use crate::model::boot::Boot;
use crate::model::cluster::Cluster;
use crate::model::due::Event;
use crate::model::gossip::{GossipId, Heartbeats};
use crate::model::id::BootId;
use crate::model::members::addr;

impl Cluster {
    /// Boots a node, if it does not run.
    pub(super) fn boot(&mut self, node: NodeIndex) {
        if self.machines[node].boot.is_some() {
            return;
        }
        let known = self.probe(node);
        let machine = &mut self.machines[node];
        let repeated = machine.last.filter(|_| std::mem::take(&mut machine.repeats));
        let wall_ms = repeated.map_or(machine.clock_ms + self.now.as_millis() as u64, |last| last.0);
        machine.clock_ms = wall_ms - self.now.as_millis() as u64;
        let incarnation = decide_incarnation(wall_ms, machine.persisted, known, 1);
        let last = machine.last.replace(incarnation);
        machine.persisted = self.plan.data_dirs[node].then_some(incarnation);
        let id = self.boots.len();
        machine.boot = Some(id);
        if last.is_some_and(|last| incarnation < last) {
            self.count("member: booted under a lower incarnation");
        }
        if last == Some(incarnation) {
            self.count("member: booted under a used incarnation");
        }
        let boot = self.new_boot(id, node, incarnation);
        self.tell(|_| format!("{} boots as {incarnation}", node_name(node)));
        self.history.begin(id, node, incarnation);
        self.network.is_away(node, self.now);
        self.boots.push(Some(Box::new(boot)));
        let mut soon = |event, period: Duration| {
            let phase = Duration::from_micros(self.choice.random_range(0..period.as_micros() as u64));
            self.queue.put(self.now + phase, event);
        };
        soon(Event::Round(id), pushmesh::limits::OVERLAY_TICK);
        soon(Event::KeepAlive(id), pushmesh::limits::LINK_KEEP_ALIVE);
        soon(Event::Gossip(id), pushmesh::limits::OVERLAY_TICK);
        soon(Event::Compare(id), pushmesh::limits::DIGEST_INTERVAL);
    }

    fn new_boot(&mut self, id: BootId, node: NodeIndex, incarnation: Incarnation) -> Boot {
        let name = self.names[node].clone();
        let identity = (node, incarnation);
        let known = self.identities.iter().position(|held| *held == identity);
        let gossip_id: GossipId = known.unwrap_or(self.identities.len());
        if known.is_none() {
            self.identities.push(identity);
        }
        let bounds = &self.plan.bounds;
        let tuning = Tuning {
            change_ring: bounds.ring_changes,
            delta_changes: bounds.delta_changes,
            snapshot_chunk_entries: bounds.chunk_entries,
            diffs: bounds.ring_changes,
            ..Tuning::default()
        };
        // Keys are drawn, not hashed.
        let hasher = KeyHasher::new(&[0; 32]);
        let replica = Replica::new(name.clone(), incarnation, hasher, self.plan.takeover, tuning);
        let timers = OverlayTimers { purge_after: bounds.purge_after, ..OverlayTimers::default() };
        Boot {
            id,
            node,
            incarnation,
            gossip_id,
            since: self.now,
            overlay: Overlay::new(name.clone(), incarnation, timers),
            name,
            roster: Roster::default(),
            roster_is_fresh: Default::default(),
            returned: Returned::default(),
            awake: Awake::default(),
            heard: Heartbeats::default(),
            links: Default::default(),
            retired: Default::default(),
            dials: Default::default(),
            dialling: Default::default(),
            followers: Default::default(),
            servers: Default::default(),
            pulling: Default::default(),
            asked: Default::default(),
            sessions: Default::default(),
            waiting: Default::default(),
            rounds: 0,
            left: false,
            mirror: Mirror::of(&replica),
            replica: Arc::new(replica),
            seen: Default::default(),
        }
    }

    /// The highest incarnation of a node that those know whom it asks at its boot. An answer takes no time here, so that
    /// the product's deadline has no place, and a node's own address is none of its seeds.
    fn probe(&self, node: NodeIndex) -> Option<Incarnation> {
        let mut probing = Probing::default();
        let mut waiting: VecDeque<_> = probing.named(self.seeds(node).map(addr)).into();
        while let Some(asked) = waiting.pop_front() {
            match self.probed(node, asked) {
                Some((known, members)) => waiting.extend(probing.answered(known, members)),
                None => probing.unanswered(),
            }
        }
        debug_assert!(probing.is_over(), "whoever was asked has answered, or is not there");
        probing.highest()
    }

    /// What is answered at an address: the incarnation that is known of the node that asks, and where others are.
    fn probed(&self, asking: NodeIndex, at: SocketAddr) -> Option<(Option<Incarnation>, Vec<SocketAddr>)> {
        let asked = (0..self.plan.nodes).find(|node| addr(*node) == at)?;
        let boot = self.running(asked).filter(|_| self.reaches(asking, asked))?;
        let (overlay, name) = (&self.boots[boot].as_deref()?.overlay, &self.names[asking]);
        let told = overlay.members().filter(|member| member.state().is_told());
        Some((overlay.highest_incarnation(name), told.map(|member| member.addr()).collect()))
    }
}
