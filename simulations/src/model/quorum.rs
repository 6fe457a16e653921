//! The machines of `quorum` alone: nodes that own sessions and hold what others have accepted, and claims that take sessions over from
//! one another, while nodes crash, restart and stand still, links break, members change and clocks differ.
//!
//! | check | promise |
//! |---|---|
//! | whoever is complete has all that was stored | R1, R5 |
//! | what is stored later is in what was taken over before | R10 |
//! | what is stored is held by enough members that are in effect, and by somebody in the end | R9, R1 |
//! | a fence grows, and nothing is taken below it | R8 |
//! | only members of the epoch answer what they hold | R11 |
//! | a member forgets only what the client has, and what is held elsewhere | R12 |
//! | where proof is asked for, nobody seals without it | R16 |
//! | a claim that is complete stands against lower ones | |
//!
//! Where all members of a group have restarted its owner goes on without them, and what they would have said of takeovers is lost:
//! from then on nothing is checked that needs a single writer.

mod carrying;
mod claims;
mod course;
mod history;
mod owning;
mod truth;
mod world;

use std::time::Duration;

use crate::model::quorum::world::World;
use crate::model::record::Record;

/// Runs a seed. `told`: with all that happens. Returns also how long it was, in simulated time.
pub(super) fn run(seed: u64, told: bool) -> (Record, Duration) {
    let mut world = World::new(seed, told);
    world.run_until(world.faults_end);
    world.heal();
    world.run_until(world.faults_end + SETTLED_WITHIN);
    world.finish();
    (world.record, world.now)
}

/// Arithmetic: the last claim is made after five seconds, takes what there is within one and a half, and a link is back after half a second.
const SETTLED_WITHIN: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_thousand_runs_hold_and_repeat_themselves() {
        for seed in 0..3_000 {
            assert_eq!(run(seed, false).0.failure, None, "seed {seed}");
        }
        let hash = |seed, told| run(seed, told).0.hash;
        assert_eq!(hash(7, true), hash(7, false));
        assert_ne!(hash(7, false), hash(8, false));
    }
}
