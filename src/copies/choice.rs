//! Which nodes hold the messages of a group.
//!
//! Members stay for as long as they are well: whoever replaces one has to be given all that the group holds. Those that are missing
//! are chosen by the hash of owner, group and name, so that what a node accepts is spread over all others, and those of another
//! zone come first.

use crate::hash;
use crate::quorum::Boot;

/// A boot that may be a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The boot.
    pub(super) boot: Boot,
    /// It is in the zone of the owner.
    pub(super) near: bool,
}

/// Who is to be in that group of the owner, of which these are now. `None`: they stay, or there is nobody.
pub(super) fn choose(
    owner: &Boot,
    group: u8,
    now: &[Boot],
    candidates: &[Candidate],
    wants: usize,
) -> Option<Vec<Boot>> {
    let is_well = |boot: &&Boot| candidates.iter().any(|candidate| candidate.boot == **boot);
    let mut members: Vec<_> = now.iter().filter(is_well).take(wants).cloned().collect();
    let mut others: Vec<_> =
        candidates.iter().filter(|candidate| !members.contains(&candidate.boot)).collect();
    others.sort_by_key(|candidate| (candidate.near, place(owner, group, &candidate.boot)));
    let missing = wants.saturating_sub(members.len());
    members.extend(others.into_iter().take(missing).map(|candidate| candidate.boot.clone()));
    (!members.is_empty() && members != now).then_some(members)
}

fn place(owner: &Boot, group: u8, boot: &Boot) -> u64 {
    let name = |boot: &Boot| hash::fnv1a(boot.name.as_str().as_bytes());
    hash::mix(name(boot) ^ hash::mix(name(owner) ^ u64::from(group)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::id::{Incarnation, NodeName};

    fn boot(name: &str, incarnation: u64) -> Boot {
        Boot { name: NodeName::new(name).unwrap(), incarnation: Incarnation(incarnation) }
    }

    fn candidates(names: &[&str]) -> Vec<Candidate> {
        names.iter().map(|name| Candidate { boot: boot(name, 1), near: false }).collect()
    }

    fn chosen(group: u8, now: &[Boot], candidates: &[Candidate]) -> Option<Vec<Boot>> {
        choose(&boot("a", 1), group, now, candidates, 2)
    }

    #[test]
    fn who_is_well_stays_and_who_is_not_is_replaced() {
        let all = candidates(&["b", "c", "d", "e"]);
        let first = chosen(3, &[], &all).unwrap();
        assert_eq!(first.len(), 2);
        assert_eq!(chosen(3, &first, &all), None);
        let without: Vec<_> = all.iter().filter(|candidate| candidate.boot != first[0]).cloned().collect();
        let next = chosen(3, &first, &without).unwrap();
        assert!(next.contains(&first[1]) && !next.contains(&first[0]) && next.len() == 2, "{next:?}");
        assert_eq!(chosen(3, &next, &all), None, "whoever comes back is not needed");
        let mut restarted = all.clone();
        restarted.iter_mut().for_each(|candidate| candidate.boot.incarnation = Incarnation(2));
        assert!(chosen(3, &first, &restarted).unwrap().iter().all(|boot| boot.incarnation.0 == 2));
    }

    #[test]
    fn where_there_are_fewer_those_are_members_and_where_there_is_nobody_nothing_changes() {
        let now = chosen(0, &[], &candidates(&["b"])).unwrap();
        assert_eq!(now, [boot("b", 1)]);
        assert_eq!(chosen(0, &now, &candidates(&["b"])), None);
        assert_eq!(chosen(0, &now, &[]), None, "it may come back");
        assert_eq!(chosen(0, &now, &candidates(&["b", "c"])).map(|members| members.len()), Some(2));
    }

    #[test]
    fn another_zone_comes_first_and_groups_are_spread() {
        let mut all = candidates(&["b", "c", "d", "e", "f"]);
        let mut times = BTreeMap::<Boot, u32>::new();
        for group in 0..16 {
            chosen(group, &[], &all)
                .unwrap()
                .into_iter()
                .for_each(|boot| *times.entry(boot).or_default() += 1);
        }
        assert!(times.len() == 5 && times.values().all(|times| *times >= 2), "{times:?}");
        all.iter_mut().skip(1).for_each(|candidate| candidate.near = true);
        assert!((0..16).all(|group| chosen(group, &[], &all).unwrap()[0] == boot("b", 1)));
    }
}
