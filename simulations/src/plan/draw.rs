//! How a plan is drawn: each kind of workload and each kind of fault from a stream of its own. Here is what clients
//! and backends do all the time.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use crate::aim::Aim;
use crate::entropy;
use crate::id::user_of;
use crate::plan::{LATENCY_MS_MAX, Plan, Size, Step, WARM_UP_MS};
use crate::settings::Settings;

impl Plan {
    /// Draws a plan.
    pub(crate) fn draw(seed: u64, size: Size) -> Self {
        let mut rng = entropy::stream(seed, "size");
        let (nodes, clients) = (rng.random_range(3..=7), rng.random_range(10..=60));
        let nodes = size.nodes.map_or(nodes, usize::from);
        let clients = size.clients.map_or(clients, usize::from);
        // Half of the runs have clocks that disagree by more than everything in the protocol.
        let skew_max = if rng.random_bool(0.5) { 0 } else { SKEW_MS_MAX };
        let skews_ms = (0..nodes).map(|_| rng.random_range(0..=skew_max)).collect();
        let latency_max = Duration::from_millis(rng.random_range(1..=LATENCY_MS_MAX));
        let faults_end_ms = u64::from(size.seconds) * 1_000;
        let steps = BTreeMap::new();
        let settings = Settings::draw(seed, clients);
        let mut plan = Self { nodes, clients, faults_end_ms, skews_ms, settings, latency_max, steps };
        plan.draw_clients(&mut entropy::stream(seed, "clients"));
        plan.draw_pushes(&mut entropy::stream(seed, "pushes"));
        plan.draw_calls(&mut entropy::stream(seed, "calls"));
        plan.draw_stalls(&mut entropy::stream(seed, "stalls"));
        plan.draw_flaps(&mut entropy::stream(seed, "flaps"));
        plan.draw_blunders(&mut entropy::stream(seed, "blunders"));
        plan.draw_repeats(&mut entropy::stream(seed, "repeats"));
        plan.draw_drains(&mut entropy::stream(seed, "drains"));
        plan.draw_messages(&mut entropy::stream(seed, "messages"));
        plan.draw_weather(&mut entropy::stream(seed, "weather"));
        plan.draw_partitions(&mut entropy::stream(seed, "partitions"));
        plan.draw_restarts(&mut entropy::stream(seed, "restarts"));
        plan.draw_mass_restarts(&mut entropy::stream(seed, "mass restarts"));
        plan.draw_paths(&mut entropy::stream(seed, "paths"));
        // Dials pile up at a node that holds still, and turmoil has no room for them where windows are small.
        if !plan.settings.has_small_windows() {
            plan.draw_pauses(&mut entropy::stream(seed, "pauses"));
        }
        plan.draw_clocks(&mut entropy::stream(seed, "clocks"));
        plan.draw_lateness(&mut entropy::stream(seed, "lateness of tasks"));
        if plan.settings.keeping.is_some() {
            plan.draw_terms(&mut entropy::stream(seed, "terms"));
            plan.draw_absences(&mut entropy::stream(seed, "absences"));
        }
        if plan.settings.keeping.as_ref().is_some_and(|keeping| keeping.copies > 0) {
            plan.draw_kills(&mut entropy::stream(seed, "kills"));
        }
        plan.draw_ailments(&mut entropy::stream(seed, "ailments"));
        plan
    }

    fn draw_clients(&mut self, rng: &mut StdRng) {
        for client in 0..self.clients {
            let at = rng.random_range(WARM_UP_MS..WARM_UP_MS + 2_000);
            let node = rng.random_range(0..self.nodes);
            self.add(at, Step::Connect { client, node });
        }
        let moves = self.faults_end_ms / 1_000 * self.clients as u64 / 20;
        for _ in 0..moves {
            let at = rng.random_range(WARM_UP_MS + 2_000..self.faults_end_ms);
            let (client, node) = (rng.random_range(0..self.clients), rng.random_range(0..self.nodes));
            let step = match rng.random_range(0..10) {
                0..6 => Step::Connect { client, node },
                6..9 => Step::Break { client },
                _ => {
                    let back = at + rng.random_range(1..5_000);
                    self.add(back, Step::Connect { client, node });
                    Step::Leave { client, politely: rng.random_bool(0.5) }
                }
            };
            self.add(at, step);
        }
    }

    fn draw_pushes(&mut self, rng: &mut StdRng) {
        let mean_ms = rng.random_range(5..60);
        let mut at = WARM_UP_MS;
        while at < self.faults_end_ms {
            at += rng.random_range(0..=2 * mean_ms);
            let node = rng.random_range(0..self.nodes);
            let client = rng.random_range(0..self.clients);
            let aim = match rng.random_range(0..20) {
                0 => Aim::All,
                1..8 => Aim::User(user_of(client)),
                _ => Aim::Client(client),
            };
            // Several in a row show whether they stay in order.
            for _ in 0..rng.random_range(1..=3) {
                self.add(at, Step::Push { node, aim });
            }
        }
    }
}

/// How far a wall clock is ahead at most, in milliseconds. Guess: a machine without NTP.
const SKEW_MS_MAX: i64 = 5_000;
