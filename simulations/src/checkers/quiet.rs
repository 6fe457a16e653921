//! When all agree and nothing happens, only digests and heartbeats are on the wire.
//!
//! A copy that is fetched again and again, or two nodes that answer each other for ever, is right at
//! every moment; it shows only here.
//!
//! The section of a node that is gone gets to a later boot by digests alone, which go to a random peer: nobody knows how long that
//! takes, and a silence in which it happened says nothing. It happens once for each boot and each such section.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::NodeName;
use pushmesh::internals::Position;

use crate::counters::counters;
use crate::host::Boot;

/// What the nodes had counted, and what they held of nodes that are gone, when the silence began.
pub(crate) struct Quiet {
    counted: Counters,
    left_behind: Sections,
}

impl Quiet {
    /// The silence begins.
    pub(crate) fn begin(boots: &[Option<Boot>]) -> Self {
        Self { counted: counted(boots), left_behind: left_behind(boots) }
    }

    /// Whether the section of a node that is gone has got to one more of those boots since.
    pub(crate) fn has_spread(&self, boots: &[Option<Boot>]) -> bool {
        self.left_behind.have_grown(&left_behind(boots))
    }

    /// Whether nothing was transferred since. `packets` were sent meanwhile, in `seconds`.
    ///
    /// # Errors
    /// What was.
    pub(crate) fn check(&self, boots: &[Option<Boot>], packets: u64, seconds: u64) -> Result<(), String> {
        self.nothing_moved(&counted(boots), boots.iter().all(Option::is_some))?;
        let nodes = boots.len() as u64;
        let most = nodes * (nodes - 1) * seconds * PACKETS_PER_PATH_SECOND_MAX;
        if packets > most {
            return Err(format!("{packets} packets in {seconds} s between {nodes} nodes, more than {most}"));
        }
        Ok(())
    }

    /// Whether nobody did anything. If not `all` run that there are, those who do look for the others.
    fn nothing_moved(&self, now: &Counters, all: bool) -> Result<(), String> {
        if now.keys().ne(self.counted.keys()) {
            return Err("nodes came and went".to_owned());
        }
        for (boot, counters) in now {
            let before = |name: &str| self.counted[boot].get(name).copied().unwrap_or_default();
            let mut moved = counters.iter().filter(|(name, times)| before(name) < **times);
            if let Some((name, times)) = moved.find(|(name, _)| all || *name != LOOKS_FOR) {
                let (node, before) = (&boot.0, before(name));
                return Err(format!("{node} counted {times} of {name} after {before}, and nothing happened"));
            }
        }
        Ok(())
    }
}

/// What each boot has counted.
type Counters = BTreeMap<BootName, BTreeMap<String, u64>>;

/// A boot of a node: its name and its incarnation.
type BootName = (NodeName, u64);

/// Where each boot holds the sections of nodes that are gone.
#[derive(Default)]
struct Sections(BTreeMap<BootName, BTreeMap<NodeName, Position>>);

impl Sections {
    fn have_grown(&self, now: &Sections) -> bool {
        now.0.iter().any(|(boot, held)| {
            let before = self.0.get(boot);
            before.is_some_and(|before| held.iter().any(|(owner, at)| before.get(owner) < Some(at)))
        })
    }
}

fn left_behind(boots: &[Option<Boot>]) -> Sections {
    let there: BTreeSet<_> = boots.iter().flatten().map(|boot| boot.replica.me()).collect();
    let held = |boot: &Boot| {
        let heads = boot.replica.heads().into_iter().filter(|(owner, _)| !there.contains(owner));
        heads.map(|(owner, digest)| (owner, digest.position)).collect()
    };
    let boots = boots.iter().flatten();
    Sections(boots.map(|boot| ((boot.replica.me().clone(), boot.incarnation), held(boot))).collect())
}

fn counted(boots: &[Option<Boot>]) -> Counters {
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
    LOOKS_FOR,
];
/// What looking for a member that is not there causes, until it is purged.
const LOOKS_FOR: &str = "pushmesh_mesh_dials_failed_total";
/// Packets from one node to another in a second. Measured: 6 to 8 for gossip, digests, keep-alives and
/// what acknowledges them; twice that.
const PACKETS_PER_PATH_SECOND_MAX: u64 = 16;

#[cfg(test)]
mod tests {
    use pushmesh::id::Incarnation;

    use super::*;

    #[test]
    fn a_transfer_without_work_is_found() {
        let boot = |incarnation| (NodeName::new("a").unwrap(), incarnation);
        let of = |name: &str, times| Counters::from([(boot(1), [(name.to_owned(), times)].into())]);
        let quiet = Quiet { counted: of("pulls", 7), left_behind: Sections::default() };
        assert_eq!(quiet.nothing_moved(&of("pulls", 7), true), Ok(()));
        assert!(quiet.nothing_moved(&of("pulls", 8), false).is_err());
        assert!(quiet.nothing_moved(&of("deltas", 1), true).is_err(), "what nobody had counted before");
        assert!(quiet.nothing_moved(&Counters::from([(boot(2), BTreeMap::new())]), true).is_err());
        let dials = of(LOOKS_FOR, 8);
        assert_eq!(
            (quiet.nothing_moved(&dials, false), quiet.nothing_moved(&dials, true).is_err()),
            (Ok(()), true)
        );
    }

    #[test]
    fn a_section_that_a_boot_has_not_had_has_spread_and_one_that_is_fetched_again_has_not() {
        let name = |text: &str| NodeName::new(text).unwrap();
        let held = |sections: &[(&str, u64)]| {
            let at = |version| Position { incarnation: Incarnation(1), version };
            let sections = sections.iter().map(|(owner, version)| (name(owner), at(*version)));
            Sections([((name("a"), 1), sections.collect())].into())
        };
        let before = held(&[("gone", 5)]);
        assert!(!before.have_grown(&held(&[("gone", 5)])));
        assert!(!before.have_grown(&held(&[])), "it is swept");
        assert!(before.have_grown(&held(&[("gone", 6)])));
        assert!(before.have_grown(&held(&[("gone", 5), ("gone-1", 0)])));
        assert!(!Sections::default().have_grown(&before), "a boot that has just begun is no silence");
    }

    #[test]
    fn packets_without_work_are_found() {
        let (boots, seconds) = ([None, None], 10);
        let most = 2 * seconds * PACKETS_PER_PATH_SECOND_MAX;
        let quiet = Quiet { counted: Counters::new(), left_behind: Sections::default() };
        assert_eq!(quiet.check(&boots, most, seconds), Ok(()));
        assert!(quiet.check(&boots, most + 1, seconds).is_err());
    }

    #[test]
    fn only_what_changes_cause_is_counted() {
        let metrics = "# HELP x\npushmesh_directory_deltas_total{direction=\"sent\"} 7\n\
                       pushmesh_directory_digests_total{direction=\"sent\"} 9\n";
        let counted = transfers(metrics);
        assert_eq!(counted, [("pushmesh_directory_deltas_total{direction=\"sent\"}".to_owned(), 7)].into());
    }
}
