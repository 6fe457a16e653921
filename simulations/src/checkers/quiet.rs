//! When all agree and nothing happens, only digests and heartbeats are on the wire.
//!
//! A copy that is fetched again and again, or two nodes that answer each other for ever, is right at
//! every moment; it shows only here.

use std::collections::BTreeMap;

use pushmesh::NodeName;

use crate::counters::counters;
use crate::host::Boot;

/// What the nodes had counted when the silence began.
pub(crate) struct Quiet(BTreeMap<(NodeName, u64), BTreeMap<String, u64>>);

impl Quiet {
    /// The silence begins.
    pub(crate) fn begin(boots: &[Option<Boot>]) -> Self {
        Self(counted(boots))
    }

    /// Whether nothing was transferred since. `packets` were sent meanwhile, in `seconds`.
    ///
    /// # Errors
    /// What was.
    pub(crate) fn check(&self, boots: &[Option<Boot>], packets: u64, seconds: u64) -> Result<(), String> {
        let now = counted(boots);
        if now.keys().ne(self.0.keys()) {
            return Err("nodes came and went".to_owned());
        }
        for ((node, incarnation), counters) in &now {
            let before = &self.0[&(node.clone(), *incarnation)];
            let moved = counters.iter().find(|(name, times)| before.get(*name).unwrap_or(&0) < times);
            if let Some((name, times)) = moved {
                let before = before.get(name).unwrap_or(&0);
                return Err(format!("{node} counted {times} of {name} after {before}, and nothing happened"));
            }
        }
        let nodes = boots.len() as u64;
        let most = nodes * (nodes - 1) * seconds * PACKETS_PER_PATH_SECOND_MAX;
        if packets > most {
            return Err(format!("{packets} packets in {seconds} s between {nodes} nodes, more than {most}"));
        }
        Ok(())
    }
}

fn counted(boots: &[Option<Boot>]) -> BTreeMap<(NodeName, u64), BTreeMap<String, u64>> {
    let of = |boot: &Boot| Some(transfers(&boot.observer.metrics()?));
    let boots = boots.iter().flatten();
    boots.filter_map(|boot| Some(((boot.replica.me().clone(), boot.incarnation), of(boot)?))).collect()
}

/// The counters of everything that a cluster without work does not do.
fn transfers(metrics: &str) -> BTreeMap<String, u64> {
    let work = counters(metrics).into_iter();
    let work = work.filter(|(name, _)| WORK.iter().any(|work| name.starts_with(work)));
    work.map(|(name, times)| (name.to_owned(), times)).collect()
}

/// What only changes cause.
const WORK: [&str; 7] = [
    "pushmesh_directory_deltas_total",
    "pushmesh_directory_snapshots_total",
    "pushmesh_directory_pulls_total",
    "pushmesh_directory_diverged_total",
    "pushmesh_mesh_requests_total",
    "pushmesh_mesh_relayed_total",
    "pushmesh_mesh_dials_failed_total",
];
/// Packets from one node to another in a second. Measured: 6 to 8 for gossip, digests, keep-alives and
/// what acknowledges them; twice that.
const PACKETS_PER_PATH_SECOND_MAX: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_cause_is_counted() {
        let metrics = "# HELP x\npushmesh_directory_deltas_total{direction=\"sent\"} 7\n\
                       pushmesh_directory_digests_total{direction=\"sent\"} 9\n";
        let counted = transfers(metrics);
        assert_eq!(counted, [("pushmesh_directory_deltas_total{direction=\"sent\"}".to_owned(), 7)].into());
    }
}
