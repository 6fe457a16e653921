//! What only the inside of the nodes shows: rare paths that were taken, for the coverage table.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::NodeName;

use crate::coverage::Coverage;
use crate::host::Boot;

/// Looks into the nodes now and then.
#[derive(Default)]
pub(crate) struct Inspection {
    /// What each boot had counted when it was last seen.
    counted: BTreeMap<(NodeName, u64), BTreeMap<&'static str, u64>>,
    /// Where the copies stood: of a boot, of an owner's boot, at a version.
    stood: BTreeMap<(NodeName, u64, NodeName), (u64, u64)>,
    /// Who was called dead by whom, although it ran.
    falsely_dead: BTreeSet<(NodeName, NodeName, u64)>,
    /// Who doubted itself, and who was isolated.
    doubted: BTreeSet<(NodeName, u64)>,
    isolated: BTreeSet<(NodeName, u64)>,
    overflows: u64,
}

impl Inspection {
    /// Looks at all nodes, after a millisecond.
    pub(crate) fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) {
        if !now_ms.is_multiple_of(EVERY_MS) {
            return;
        }
        let running: BTreeSet<_> =
            boots.iter().flatten().map(|boot| (boot.replica.me().clone(), boot.incarnation)).collect();
        for boot in boots.iter().flatten() {
            self.states(boot, &running);
            self.positions(boot);
            if now_ms.is_multiple_of(METRICS_EVERY_MS) {
                self.metrics(boot);
            }
        }
    }

    fn states(&mut self, boot: &Boot, running: &BTreeSet<(NodeName, u64)>) {
        let Some(inside) = boot.observer.inside() else { return };
        let me = (boot.replica.me().clone(), boot.incarnation);
        for (name, (incarnation, state)) in &inside.members {
            if *state == "dead" && running.contains(&(name.clone(), incarnation.0)) {
                self.falsely_dead.insert((me.0.clone(), name.clone(), incarnation.0));
            }
        }
        if inside.degraded {
            self.doubted.insert(me.clone());
        }
        if inside.isolated {
            self.isolated.insert(me.clone());
        }
        self.counted
            .entry(me)
            .or_default()
            .insert("membership: a boot that is over was refused", inside.fenced);
    }

    /// A copy that moves on by more than its owner remembers came as a snapshot.
    fn positions(&mut self, boot: &Boot) {
        let remembered = boot.replica.tuning().change_ring as u64;
        for (owner, digest) in boot.replica.heads() {
            let now = (digest.position.incarnation.0, digest.position.version);
            let of = (boot.replica.me().clone(), boot.incarnation, owner);
            if let Some((incarnation, version)) = self.stood.insert(of, now)
                && incarnation == now.0
                && now.1 > version + remembered
            {
                self.overflows += 1;
            }
        }
    }

    fn metrics(&mut self, boot: &Boot) {
        let Some(metrics) = boot.observer.metrics() else { return };
        let counted = self.counted.entry((boot.replica.me().clone(), boot.incarnation)).or_default();
        for (case, counter) in COUNTERS {
            let times =
                metrics.lines().filter_map(|line| line.strip_prefix(counter)?.trim().parse::<u64>().ok());
            counted.insert(case, times.sum());
        }
    }

    /// Adds what was seen to the table.
    pub(crate) fn report(&self, coverage: &mut Coverage) {
        for (case, times) in self.counted.values().flatten() {
            coverage.count(*case, *times);
        }
        coverage.count("membership: dead although it runs", self.falsely_dead.len() as u64);
        coverage.count("membership: a node doubts itself", self.doubted.len() as u64);
        coverage.count("membership: a node is isolated", self.isolated.len() as u64);
        coverage.count("directory: a copy fell behind what its owner remembers", self.overflows);
    }
}

/// Cases, and the counters that tell of them.
const COUNTERS: [(&str, &str); 8] = [
    ("directory: a snapshot arrived", "pushmesh_directory_snapshots_total{direction=\"received\"}"),
    ("directory: a section came from a third node", "pushmesh_directory_pulls_total{from=\"relay\"}"),
    ("directory: an old section of a third node was refused", "pushmesh_directory_refused_total"),
    ("directory: rows were swept", "pushmesh_directory_swept_rows_total"),
    ("mesh: a request went over a third node", "pushmesh_mesh_relayed_total{step=\"passed_on\"}"),
    ("mesh: a frame was refused", "pushmesh_mesh_frames_refused_total"),
    ("takeover: another session was replaced", "pushmesh_takeovers_total"),
    ("takeover: the former owner did not answer", "pushmesh_takeover_timeouts_total"),
];
/// Time between two looks, in milliseconds.
const EVERY_MS: u64 = 100;
/// Time between two looks at what nodes have counted, in milliseconds.
const METRICS_EVERY_MS: u64 = 1_000;
