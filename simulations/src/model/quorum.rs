//! The machines of `quorum` alone: one owner, boots of other nodes that hold what it has accepted, and claims that take its
//! sessions over, while nodes crash, restart and stand still, links break, members change and clocks differ.
//!
//! | check | promise |
//! |---|---|
//! | whoever seals gets all that was stored | R1, R5 |
//! | what is stored later is in what was sealed before | R10 |
//! | a fence grows, and nothing is taken below it | R8 |
//! | what is stored is held by enough members of each configuration that may be in effect | R9 |
//! | only members of the epoch answer what they hold | R11 |
//! | a member forgets only what the client has, and what is held elsewhere | R12 |
//! | where proof is asked for, nobody seals without it | R16 |
//! | a claim that was sealed stands against lower ones | |
//!
//! Where all members of a group have restarted its owner goes on without them, and what they would have said of takeovers is lost:
//! from then on nothing is checked that needs a single writer.

mod course;
mod history;
mod truth;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::quorum::world::World;
use crate::violation::Violation;

/// What came of a run.
pub(super) struct Outcome {
    pub(super) verdict: Result<(), Violation>,
    pub(super) hash: u64,
    pub(super) simulated: Duration,
    pub(super) cases: BTreeMap<&'static str, u64>,
    pub(super) lines: Vec<String>,
}

/// Runs a seed. `told`: with all that happened.
pub(super) fn run(seed: u64, told: bool) -> Outcome {
    let mut world = World::new(seed, told);
    world.run_until(world.faults_end);
    world.heal();
    world.run_until(world.faults_end + SETTLED_WITHIN);
    world.finish();
    let World { failure, hash, now, cases, lines, .. } = world;
    Outcome {
        verdict: failure.map_or(Ok(()), Err),
        hash,
        simulated: now,
        cases,
        lines: lines.unwrap_or_default(),
    }
}

/// Arithmetic: a link is back after half a second, a change takes three round trips, and a claim is tried for a second.
const SETTLED_WITHIN: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_thousand_runs_hold_and_repeat_themselves() {
        for seed in 0..3_000 {
            assert_eq!(run(seed, false).verdict, Ok(()), "seed {seed}");
        }
        assert_eq!(run(7, true).hash, run(7, false).hash);
        assert_ne!(run(7, false).hash, run(8, false).hash);
    }
}
