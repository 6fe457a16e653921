//! How a node of the fast level boots: under which incarnation, and knowing nobody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pushmesh::config::Tuning;
use pushmesh::id::Incarnation;
use pushmesh::internals::{
    Awake, KeyHasher, MemberState, Mirror, Overlay, OverlayTimers, Replica, Returned, Roster,
    decide_incarnation,
};
use rand::Rng;

use crate::id::{NodeIndex, node_name};
use crate::model::boot::Boot;
use crate::model::cluster::Cluster;
use crate::model::due::Event;
use crate::model::gossip::{GossipId, Heartbeats};
use crate::model::id::BootId;

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
        let incarnation = decide_incarnation(wall_ms, machine.persisted, known);
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

    /// The highest incarnation of a node that those know whom it asks at its boot: its seeds, whom they
    /// know, and so on.
    fn probe(&self, node: NodeIndex) -> Option<Incarnation> {
        let (mut asked, mut highest) = (BTreeSet::from([node]), None);
        let mut next: Vec<_> = self.seeds(node).collect();
        while let Some(one) = next.pop() {
            let reached = self.network.is_open(node, one) && self.network.is_open(one, node);
            if !asked.insert(one) || !reached || !self.is_awake(one) {
                continue;
            }
            let Some(boot) = self.machines[one].boot.and_then(|boot| self.boots[boot].as_deref()) else {
                continue;
            };
            highest = highest.max(boot.overlay.highest_incarnation(&self.names[node]));
            let alive = boot.overlay.members().filter(|member| member.state() == MemberState::Alive);
            next.extend(alive.filter_map(|member| self.names.iter().position(|name| name == member.name())));
        }
        highest
    }
}
