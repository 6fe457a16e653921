//! Which faults a run has met. Some are seen only over several steps of its plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::NodeIndex;
use crate::plan::{Ailment, Identity, Step};

/// What the steps so far have done to the nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// How far each node's wall clock is ahead.
    clocks_ms: Vec<i64>,
    /// Nodes that were stopped or crashed and have not come back, with their clocks of that moment.
    down: BTreeMap<NodeIndex, i64>,
    /// Whether all of them were down at one time since the last one ran.
    dark: bool,
    /// Nodes that stopped in good order and came back, since all had.
    rolled: BTreeSet<NodeIndex>,
    /// Those of `down` that stopped in good order.
    stopped: BTreeSet<NodeIndex>,
}

impl Faults {
    /// Nothing has happened; the nodes' wall clocks are so far ahead.
    pub(super) fn new(clocks_ms: &[i64]) -> Self {
        Self { clocks_ms: clocks_ms.to_vec(), ..Self::default() }
    }

    /// A step was done; the cases that it is.
    pub(super) fn step(&mut self, step: &Step) -> Vec<&'static str> {
        match step {
            Step::Weather(weather) if weather.corruption > 0.0 => vec![ROUGH, "fault: packets corrupted"],
            Step::Weather(weather) if weather.loss > 0.0 => vec![ROUGH],
            Step::Partition(pairs) if !pairs.is_empty() => {
                let shape = shape(pairs, self.clocks_ms.len());
                ["fault: partition"].into_iter().chain(shape).collect()
            }
            Step::Crash { node } => self.goes_down(*node, "fault: crash"),
            Step::Stop { node } => {
                self.stopped.insert(*node);
                self.goes_down(*node, "fault: stop in good order")
            }
            Step::Restart { node, identity } => self.comes_back(*node, *identity),
            Step::Swallow(Some(_)) => vec!["fault: large packets swallowed"],
            Step::Slow(..) => vec!["fault: slow paths"],
            Step::Pause { .. } => vec!["fault: a node holds still"],
            Step::Clock { node, ahead_ms } => {
                self.clocks_ms[*node] = *ahead_ms;
                vec!["fault: wall clock set"]
            }
            Step::Late(probability) if *probability > 0.0 => vec!["fault: tasks run late"],
            Step::Ail { how, .. } => vec![match how {
                Ailment::Dead => "core: without a node that is dead",
                Ailment::Cut => "core: without a node that is cut off",
                Ailment::Deaf => "core: without a node that hears nobody",
                Ailment::Mute => "core: without a node that nobody hears",
                Ailment::Slow(_) => "core: with a node that is slow",
            }],
            _ => Vec::new(),
        }
    }

    fn goes_down(&mut self, node: NodeIndex, case: &'static str) -> Vec<&'static str> {
        self.down.insert(node, self.clocks_ms[node]);
        if self.down.len() < self.clocks_ms.len() || std::mem::replace(&mut self.dark, true) {
            return vec![case];
        }
        vec![case, "fault: mass restart"]
    }

    fn comes_back(&mut self, node: NodeIndex, identity: Identity) -> Vec<&'static str> {
        let mut cases = vec![match identity {
            Identity::Same => "fault: restart",
            Identity::Forgotten => "fault: restart with an empty disk",
            Identity::Replaced => "fault: replaced by a node of another name",
        }];
        self.dark = false;
        if self.down.remove(&node).is_some_and(|then_ms| self.clocks_ms[node] < then_ms) {
            cases.push("fault: clock set back across a restart");
        }
        if self.stopped.remove(&node) {
            self.rolled.insert(node);
        }
        if self.rolled.len() == self.clocks_ms.len() {
            self.rolled.clear();
            cases.push("fault: rolling restart");
        }
        cases
    }
}

/// What kind of partition it is, if it is one of those that have a name.
fn shape(pairs: &[(NodeIndex, NodeIndex)], nodes: usize) -> Option<&'static str> {
    let cut: BTreeSet<_> = pairs.iter().copied().collect();
    if cut.iter().any(|(from, to)| !cut.contains(&(*to, *from))) {
        return Some("fault: one-way partition");
    }
    let alone = |one: NodeIndex| cut.iter().all(|(from, to)| *from == one || *to == one);
    let isolates = cut.len() == 2 * (nodes - 1) && (0..nodes).any(alone);
    isolates.then_some("fault: one node isolated")
}

const ROUGH: &str = "fault: packets lost, doubled, reordered";

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(node: NodeIndex) -> Step {
        Step::Crash { node }
    }

    fn stop(node: NodeIndex) -> Step {
        Step::Stop { node }
    }

    fn back(node: NodeIndex) -> Step {
        Step::Restart { node, identity: Identity::Same }
    }

    fn last(steps: &[Step]) -> Vec<&'static str> {
        let mut faults = Faults::new(&[0, 0, 0]);
        steps.iter().map(|step| faults.step(step)).last().unwrap()
    }

    #[test]
    fn partitions_are_told_by_their_shape() {
        assert_eq!(shape(&[(0, 1)], 3), Some("fault: one-way partition"));
        assert_eq!(shape(&[(0, 1), (1, 0), (0, 2), (2, 0)], 3), Some("fault: one node isolated"));
        assert_eq!(shape(&[(0, 1), (1, 0)], 3), None, "both reach the third one");
        assert_eq!(shape(&[(0, 2), (2, 0), (0, 3), (3, 0), (1, 2), (2, 1), (1, 3), (3, 1)], 4), None);
    }

    #[test]
    fn a_mass_restart_is_when_all_are_down_at_once() {
        let met = |steps: &[Step]| last(steps).contains(&"fault: mass restart");
        assert!(met(&[crash(0), crash(1), stop(2)]));
        assert!(!met(&[crash(0), crash(1), back(0), crash(2)]));
        assert!(met(&[crash(0), crash(1), back(0), crash(2), crash(0)]));
    }

    #[test]
    fn a_rolling_restart_is_when_each_has_stopped_and_come_back() {
        let met = |steps: &[Step]| last(steps).contains(&"fault: rolling restart");
        assert!(met(&[stop(0), back(0), stop(1), stop(2), back(1), back(2)]));
        assert!(!met(&[crash(0), back(0), stop(1), back(1), stop(2), back(2)]));
    }

    #[test]
    fn a_clock_that_is_behind_after_a_restart_is_told() {
        let set = |ahead_ms| Step::Clock { node: 0, ahead_ms };
        let met = |steps: &[Step]| last(steps).contains(&"fault: clock set back across a restart");
        assert!(met(&[set(5), crash(0), set(4), back(0)]));
        assert!(!met(&[set(5), crash(0), set(6), back(0)]));
        assert!(!met(&[set(5), set(4), crash(0), back(0)]));
    }
}
