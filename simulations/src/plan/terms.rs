//! What backends say of the messages that they push: how long each may wait, and what they wait for.

use pushmesh::Wait;
use rand::Rng;
use rand::rngs::StdRng;

use crate::ask::{Ask, Terms};
use crate::plan::{Plan, Step};

impl Plan {
    /// Some of the pushes over HTTP wait for the client's word or for copies, some have a time to live, and some have both.
    pub(super) fn draw_terms(&mut self, rng: &mut StdRng) {
        let is_copied = self.settings.keeping.as_ref().is_some_and(|keeping| keeping.copies > 0);
        for step in self.steps.values_mut().flatten() {
            if let Step::Call { ask: Ask::Push(_, terms), .. } = step {
                let ttl_s = rng.random_bool(0.3).then(|| rng.random_range(0..=TTL_S_MAX));
                let wait = match rng.random_range(0..10) {
                    0..3 => Wait::Acked,
                    3..6 if is_copied => Wait::Stored,
                    _ => Wait::Receipt,
                };
                *terms = Terms { ttl_s, wait };
            }
        }
    }
}

/// The longest time to live, in seconds. Source: as long as a client of a plan is away.
const TTL_S_MAX: u32 = 8;
