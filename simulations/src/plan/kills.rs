//! Nodes that lose their power while they hold what clients of theirs have not got, of which other nodes have copies.

use pushmesh::Wait;
use rand::Rng;
use rand::rngs::StdRng;

use crate::aim::Aim;
use crate::ask::{Ask, Terms};
use crate::id::{ClientIndex, NodeIndex};
use crate::plan::{Identity, Plan, Step, WARM_UP_MS};

impl Plan {
    /// Clients are at one node and leave it, something is pushed to them, their node crashes, and they are back at another one.
    pub(super) fn draw_kills(&mut self, rng: &mut StdRng) {
        for (begin, end) in self.windows(rng, 6_000, 8_000) {
            if begin < WARM_UP_MS + 3_000 {
                continue;
            }
            let node = rng.random_range(0..self.nodes);
            for _ in 0..rng.random_range(1..=CLIENTS_MAX) {
                let client = rng.random_range(0..self.clients);
                self.draw_victim(rng, client, node, begin);
            }
            self.add(begin, Step::Crash { node });
            if rng.random_bool(0.2) {
                // With it another one, that may have held copies.
                let other = rng.random_range(0..self.nodes);
                self.add(rng.random_range(begin..end), Step::Crash { node: other });
                self.add(end, Step::Restart { node: other, identity: Identity::Same });
            }
            self.add(end, Step::Restart { node, identity: Identity::Same });
        }
    }

    /// A client whose node crashes then.
    fn draw_victim(&mut self, rng: &mut StdRng, client: ClientIndex, node: NodeIndex, crash: u64) {
        let gone = crash - rng.random_range(50..1_500);
        self.add(gone - rng.random_range(300..1_200), Step::Connect { client, node });
        // Or it is there and reads, or does not.
        match rng.random_range(0..4) {
            0 => {}
            1 => self.add(gone, Step::Stall { client, for_ms: rng.random_range(500..3_000) }),
            _ => self.add(gone, Step::Leave { client, politely: false }),
        }
        for _ in 0..rng.random_range(1..12) {
            let pusher = rng.random_range(0..self.nodes);
            let at = rng.random_range(gone..crash + 1_000);
            let aim = Aim::Client(client);
            let step = if rng.random_bool(0.5) {
                let terms = Terms { ttl_s: None, wait: Wait::Stored };
                Step::Call { backend: rng.random_range(0..2), node: pusher, ask: Ask::Push(aim, terms) }
            } else {
                Step::Push { node: pusher, aim }
            };
            if at < self.faults_end_ms {
                self.add(at, step);
            }
        }
        let back = crash + rng.random_range(20..4_000);
        if back < self.faults_end_ms {
            self.add(back, Step::Connect { client, node: rng.random_range(0..self.nodes) });
        }
    }
}

/// Clients of a node that crashes, at most.
const CLIENTS_MAX: usize = 6;
