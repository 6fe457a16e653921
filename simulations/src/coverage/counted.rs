//! What the nodes say that they have met: some of their counters, over all boots, and what they
//! think of each other.
//!
//! It is looked at twice a second, so that what a node counted just before a crash may be missing.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::NodeName;
use pushmesh::id::Incarnation;

use crate::counters::counters;
use crate::host::Boot;
use crate::id::node_of;

/// What every boot had counted at the last look, and whom it had called dead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counted {
    counts: BTreeMap<(NodeName, u64), BTreeMap<&'static str, u64>>,
    dead: BTreeMap<(NodeName, u64), BTreeSet<NodeName>>,
}

/// The boots that run.
type Running = BTreeSet<(NodeName, u64)>;

impl Counted {
    /// A millisecond is over; the cases that were met since the last look.
    pub(super) fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Vec<(&'static str, u64)> {
        if !now_ms.is_multiple_of(EVERY_MS) {
            return Vec::new();
        }
        let mut met = Vec::new();
        let name = |boot: &Boot| (boot.replica.me().clone(), boot.incarnation);
        let running: Running = boots.iter().flatten().map(name).collect();
        for boot in boots.iter().flatten() {
            let counts = counts(boot, &running);
            let before = self.counts.insert((boot.replica.me().clone(), boot.incarnation), counts.clone());
            let before = before.unwrap_or_default();
            let more = |(case, now): (&'static str, u64)| {
                (case, now.saturating_sub(before.get(case).copied().unwrap_or_default()))
            };
            met.extend(counts.into_iter().map(more).filter(|(_, more)| *more > 0));
            met.extend(
                [("node: forgot a dead one", self.forgot(boot))].into_iter().filter(|(_, more)| *more > 0),
            );
        }
        met
    }

    /// How many that were dead at the last look are not listed any more.
    fn forgot(&mut self, boot: &Boot) -> u64 {
        let members = boot.observer.inside().map(|inside| inside.members).unwrap_or_default();
        let dead = members.iter().filter(|(_, (_, state))| *state == "dead").map(|(name, _)| name.clone());
        let before = self.dead.insert((boot.replica.me().clone(), boot.incarnation), dead.collect());
        before.unwrap_or_default().iter().filter(|name| !members.contains_key(*name)).count() as u64
    }
}

/// The cases of one boot with their numbers.
fn counts(boot: &Boot, running: &Running) -> BTreeMap<&'static str, u64> {
    let mut counts = boot.observer.metrics().map(|metrics| cases(&metrics)).unwrap_or_default();
    if let Some(inside) = boot.observer.inside() {
        let dead = inside.members.iter().filter(|(_, (_, state))| *state == "dead");
        let falsely =
            |(name, (boot, _)): &(&NodeName, &(Incarnation, _))| running.contains(&((*name).clone(), boot.0));
        let heirs: BTreeSet<_> = running.iter().filter_map(|(name, _)| node_of(name.as_str())).collect();
        let replaced = |(name, _): &(&NodeName, &(Incarnation, _))| {
            let runs = running.iter().any(|(running, _)| running == *name);
            !runs && node_of(name.as_str()).is_some_and(|node| heirs.contains(&node))
        };
        let replaced = dead.clone().filter(replaced).count();
        let (dead, falsely) = (dead.clone().count(), dead.filter(falsely).count());
        // These come and go: what counts is that there are more than at the last look.
        counts.insert("node: called another one dead", dead as u64);
        counts.insert("node: called one dead that runs", falsely as u64);
        counts.insert("node: remembers one whose place another one has", replaced as u64);
        counts.insert("node: refused a boot that is over", inside.fenced);
        counts.insert("node: doubted itself", u64::from(inside.degraded));
        counts.insert("node: was isolated", u64::from(inside.isolated));
    }
    counts
}

/// The cases in Prometheus' text.
fn cases(metrics: &str) -> BTreeMap<&'static str, u64> {
    let counters = counters(metrics);
    CASES.iter().filter_map(|(counter, case)| Some((*case, *counters.get(counter)?))).collect()
}

/// Counters, and what they tell.
const CASES: [(&str, &str); 13] = [
    ("pushmesh_directory_deltas_total{direction=\"received\"}", "node: delta taken"),
    ("pushmesh_directory_snapshots_total{direction=\"received\"}", "node: snapshot taken"),
    ("pushmesh_directory_snapshots_outdated_total", "node: snapshot came too late"),
    ("pushmesh_directory_pulls_total{from=\"relay\"}", "node: section pulled from a third node"),
    ("pushmesh_directory_refused_total", "node: digest of an older boot refused"),
    ("pushmesh_directory_diverged_total", "node: copy found wrong"),
    ("pushmesh_directory_swept_rows_total", "node: rows swept"),
    ("pushmesh_mesh_relayed_total{step=\"passed_on\"}", "node: request passed on for another one"),
    ("pushmesh_messages_written_total{how=\"at_once\"}", "node: message written at once"),
    ("pushmesh_messages_written_total{how=\"begun\"}", "node: message begun at once"),
    ("pushmesh_messages_written_total{how=\"task\"}", "node: message written by its session's task"),
    ("pushmesh_takeovers_total", "node: session taken over"),
    ("pushmesh_takeover_timeouts_total", "node: previous owner did not answer"),
];
/// Time between two looks, in milliseconds.
const EVERY_MS: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_told_by_its_name_and_label() {
        let metrics = "# HELP x\npushmesh_directory_pulls_total{from=\"owner\"} 4\n\
                       pushmesh_directory_pulls_total{from=\"relay\"} 7\npushmesh_takeovers_total 0\n";
        let expected = [("node: section pulled from a third node", 7), ("node: session taken over", 0)];
        assert_eq!(cases(metrics), expected.into());
    }
}
