//! Who may be refused because two clients take a session from each other: whoever comes to a session that was taken often enough.
//!
//! How often it was taken is known from its clients, which are closed with 4001. A node counts those of its own that answer, so that it
//! refuses nobody whose session was taken less often.

use std::collections::BTreeMap;

use crate::checkers::bounds::CLOSE_MS_MAX;
use crate::id::ClientIndex;

/// When the connections of clients were closed because another one took their place.
#[derive(Default)]
pub(super) struct Contended(BTreeMap<ClientIndex, Vec<u64>>);

impl Contended {
    /// A connection of that client was closed with 4001.
    pub(super) fn displaced(&mut self, client: ClientIndex, now_ms: u64) {
        self.0.entry(client).or_default().push(now_ms);
    }

    /// Whether that client may be refused for it.
    pub(super) fn may_wait(&self, client: ClientIndex, now_ms: u64) -> bool {
        let lately = |at: &&u64| **at + WHILE_MS >= now_ms;
        self.0.get(&client).is_some_and(|closed| closed.iter().filter(lately).count() >= TIMES)
    }
}

/// So often a session is taken before somebody has to wait. Source: `Rate::TAKEOVERS` of the product.
const TIMES: usize = 5;
/// Within this time, in milliseconds. Arithmetic: the while of that rate, and the time in which a close is answered.
const WHILE_MS: u64 = 30_000 + CLOSE_MS_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_displaced_often_enough_lately_may_wait_and_nobody_else() {
        let mut contended = Contended::default();
        for at in [1_000, 1_500, 2_000, 2_500] {
            contended.displaced(7, at);
        }
        assert!(!contended.may_wait(7, 2_500));
        contended.displaced(7, 3_000);
        assert!(contended.may_wait(7, 3_000) && !contended.may_wait(8, 3_000));
        assert!(contended.may_wait(7, 1_000 + WHILE_MS) && !contended.may_wait(7, 1_001 + WHILE_MS));
    }
}
