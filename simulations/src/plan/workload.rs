//! What backends ask over HTTP, and clients that are slow, restless or talkative.

use rand::Rng;
use rand::rngs::StdRng;

use super::{Blunder, Identity, Plan, Step, WARM_UP_MS};
use crate::aim::Aim;
use crate::ask::{Ask, Terms};
use crate::id::{ClientIndex, NodeIndex, user_of};

impl Plan {
    /// What backends ask over HTTP.
    pub(super) fn draw_calls(&mut self, rng: &mut StdRng) {
        let mean_ms = rng.random_range(60..300);
        let mut at = WARM_UP_MS;
        while at < self.faults_end_ms {
            at += rng.random_range(0..=2 * mean_ms);
            let (backend, node) = (rng.random_range(0..BACKENDS), rng.random_range(0..self.nodes));
            let ask = self.draw_ask(rng);
            let repeated = if matches!(ask, Ask::Push(..)) { rng.random_range(1..=2) } else { 1 };
            for _ in 0..repeated {
                self.add(at, Step::Call { backend, node, ask: ask.clone() });
            }
        }
    }

    fn draw_ask(&self, rng: &mut StdRng) -> Ask {
        let client = rng.random_range(0..self.clients);
        let aim = |kind| match kind {
            0 => Aim::User(user_of(client)),
            _ => Aim::Client(client),
        };
        match rng.random_range(0..40) {
            0..16 => Ask::Push(aim(rng.random_range(0..3)), Terms::default()),
            16..18 => Ask::Push(Aim::All, Terms::default()),
            18..24 => {
                // Some lines to one target show whether they stay in order.
                let same = aim(rng.random_range(0..2));
                let line = |place: usize| if place.is_multiple_of(4) { Aim::All } else { same };
                Ask::Batch((0..rng.random_range(1..10)).map(line).collect())
            }
            24 => Ask::Kick(aim(rng.random_range(0..3))),
            25..28 => Ask::List { limit: rng.random_range(5..=100) },
            28..32 => Ask::Who(user_of(client)),
            32..34 => Ask::Explain(user_of(client)),
            34..38 => Ask::Stats,
            _ => Ask::Nodes,
        }
    }

    /// Clients that stop to read: some for so long that their node gives them up, and some while much
    /// is pushed to them.
    pub(super) fn draw_stalls(&mut self, rng: &mut StdRng) {
        let longest_ms = self.settings.heartbeat_timeout.as_millis() as u64 + STALL_BEYOND_MS;
        let longest_ms = longest_ms.min(STALL_MS_MAX);
        for _ in 0..self.faults_end_ms / STALL_EVERY_MS {
            let at = rng.random_range(WARM_UP_MS + 2_000..self.faults_end_ms);
            let client = rng.random_range(0..self.clients);
            let for_ms = rng.random_range(200..=longest_ms);
            self.add(at, Step::Stall { client, for_ms });
            if rng.random_bool(0.4) {
                let node = rng.random_range(0..self.nodes);
                let pushes = rng.random_range(20..200);
                self.flood(at, node, client, pushes);
                self.draw_given_up(rng, at, client, node);
            }
        }
    }

    /// Pushes to a client that stops to read now.
    fn flood(&mut self, from_ms: u64, node: NodeIndex, client: ClientIndex, pushes: u64) {
        for push in 0..pushes {
            // One by one: what is pushed at once is written at once.
            let at = from_ms + 5 + 4 * push;
            if at < self.faults_end_ms {
                self.add(at, Step::Push { node, aim: Aim::Client(client) });
            }
        }
    }

    /// What becomes of pushes that wait for a client that does not read.
    fn draw_given_up(&mut self, rng: &mut StdRng, from_ms: u64, client: ClientIndex, node: NodeIndex) {
        let ended = from_ms + rng.random_range(5..800);
        let broken = ended + rng.random_range(0..GIVEN_UP_MS);
        if broken >= self.faults_end_ms {
            return;
        }
        match rng.random_range(0..10) {
            // It is disconnected, which has what waits written first, and breaks before that is done.
            0..4 => {
                let backend = rng.random_range(0..BACKENDS);
                self.add(ended, Step::Call { backend, node, ask: Ask::Kick(Aim::Client(client)) });
                self.add(broken, Step::Break { client });
            }
            // It breaks before anybody is told that something waits.
            4..6 => self.add(ended, Step::Break { client }),
            // It is connected elsewhere, or another device of its user is, where one excludes the other.
            6..8 => {
                let other = (0..self.clients).find(|of| *of != client && user_of(*of) == user_of(client));
                let next = other.filter(|_| rng.random_bool(0.7)).unwrap_or(client);
                self.add(ended, Step::Connect { client: next, node: rng.random_range(0..self.nodes) });
            }
            _ => {}
        }
    }

    /// In half of the runs nodes stop in good order while clients of theirs do not read.
    pub(super) fn draw_drains(&mut self, rng: &mut StdRng) {
        if rng.random_bool(0.5) {
            return;
        }
        for (begin, end) in self.windows(rng, 20_000, 8_000) {
            let (node, pusher) = (rng.random_range(0..self.nodes), rng.random_range(0..self.nodes));
            for _ in 0..rng.random_range(1..=4) {
                let client = rng.random_range(0..self.clients);
                self.add(begin - rng.random_range(600..1_500), Step::Connect { client, node });
                let stalled = begin - rng.random_range(20..500);
                self.add(stalled, Step::Stall { client, for_ms: rng.random_range(200..4_000) });
                let pushes = rng.random_range(80..200);
                self.flood(stalled, pusher, client, pushes);
                let broken = begin + rng.random_range(0..GIVEN_UP_MS);
                if rng.random_bool(0.5) && broken < self.faults_end_ms {
                    self.add(broken, Step::Break { client });
                }
            }
            self.add(begin, Step::Stop { node });
            self.add(end, Step::Restart { node, identity: Identity::Same });
        }
    }

    /// Pushes that their backends make again, in the same words or in others under the same id, many of them
    /// while the client does not read.
    pub(super) fn draw_repeats(&mut self, rng: &mut StdRng) {
        for number in 0..self.faults_end_ms / REPEAT_EVERY_MS {
            let mut at = rng.random_range(WARM_UP_MS + 2_000..self.faults_end_ms);
            let (client, node) = (rng.random_range(0..self.clients), rng.random_range(0..self.nodes));
            if rng.random_bool(0.6) {
                self.add(at, Step::Stall { client, for_ms: rng.random_range(200..3_000) });
                self.flood(at, node, client, rng.random_range(40..160));
                at += rng.random_range(0..700);
            }
            for place in 0..rng.random_range(2..=REPEATS_MAX) {
                let node = if rng.random_bool(0.7) { node } else { rng.random_range(0..self.nodes) };
                let words = if place > 0 && rng.random_bool(0.3) { 1 } else { 0 };
                // None of them waits for the answer to another one.
                let (backend, ask) = (BACKENDS + place, Ask::Repeat { client, number, words });
                if at < self.faults_end_ms {
                    self.add(at, Step::Call { backend, node, ask });
                }
                at += rng.random_range(0..500);
            }
        }
    }

    /// Clients that connect and break within milliseconds.
    pub(super) fn draw_flaps(&mut self, rng: &mut StdRng) {
        for _ in 0..self.faults_end_ms / FLAP_EVERY_MS {
            let mut at = rng.random_range(WARM_UP_MS + 2_000..self.faults_end_ms);
            let client = rng.random_range(0..self.clients);
            for _ in 0..rng.random_range(1..5) {
                let node = rng.random_range(0..self.nodes);
                self.add(at, Step::Connect { client, node });
                at += rng.random_range(0..150);
                if rng.random_bool(0.7) {
                    self.add(at, Step::Break { client });
                }
                at += rng.random_range(0..30);
            }
        }
    }

    /// Clients that are away for a while, while something is pushed to them: some for longer than their sessions are kept.
    pub(super) fn draw_absences(&mut self, rng: &mut StdRng) {
        for _ in 0..self.faults_end_ms / ABSENCE_EVERY_MS {
            let begin = rng.random_range(WARM_UP_MS + 2_000..self.faults_end_ms);
            let client = rng.random_range(0..self.clients);
            let longest_ms = if rng.random_bool(0.8) { AWAY_MS_MAX } else { 4 * AWAY_MS_MAX };
            let end = begin + rng.random_range(100..longest_ms);
            self.add(begin, Step::Leave { client, politely: rng.random_bool(0.1) });
            let node = rng.random_range(0..self.nodes);
            // Now and then more than a window.
            let pushes =
                if rng.random_bool(0.05) { rng.random_range(280..450) } else { rng.random_range(1..20) };
            for _ in 0..pushes {
                let at = begin + rng.random_range(0..longest_ms);
                if at < self.faults_end_ms {
                    self.add(at, Step::Push { node, aim: Aim::Client(client) });
                }
            }
            if end < self.faults_end_ms {
                self.add(end, Step::Connect { client, node: rng.random_range(0..self.nodes) });
            }
        }
    }

    /// Clients that send what no node takes, most of them while much is pushed to them.
    pub(super) fn draw_blunders(&mut self, rng: &mut StdRng) {
        for _ in 0..self.faults_end_ms / BLUNDER_EVERY_MS {
            let at = rng.random_range(WARM_UP_MS + 2_000..self.faults_end_ms);
            let client = rng.random_range(0..self.clients);
            let blunder = match rng.random_range(0..3) {
                0 => Blunder::TooBig,
                1 => Blunder::NotText,
                _ => Blunder::Nonsense,
            };
            self.add(at, Step::Blunder { client, blunder });
            // Many read nothing more, and let go before what their node has begun to write is out.
            if rng.random_bool(0.6) && at + GIVEN_UP_MS < self.faults_end_ms {
                self.add(at + 1, Step::Stall { client, for_ms: GIVEN_UP_MS });
                self.add(at + rng.random_range(2..GIVEN_UP_MS), Step::Break { client });
            }
            if rng.random_bool(0.7) {
                let node = rng.random_range(0..self.nodes);
                for push in 0..rng.random_range(10..60) {
                    let at = (at + push).saturating_sub(10);
                    if at < self.faults_end_ms {
                        self.add(at, Step::Push { node, aim: Aim::Client(client) });
                    }
                }
            }
        }
    }

    /// What clients say to the application.
    pub(super) fn draw_messages(&mut self, rng: &mut StdRng) {
        let mut at = WARM_UP_MS;
        while at < self.faults_end_ms {
            at += rng.random_range(0..400);
            let client = rng.random_range(0..self.clients);
            for _ in 0..rng.random_range(1..=3) {
                self.add(at, Step::Say { client });
                at += 1;
            }
        }
    }
}

/// Backends of a run.
const BACKENDS: usize = 2;
/// Time between two clients that stop to read, in milliseconds.
const STALL_EVERY_MS: u64 = 6_000;
/// How much longer than the heartbeat's timeout a client stops to read at most, in milliseconds.
const STALL_BEYOND_MS: u64 = 8_000;
/// The longest that a client stops to read, in milliseconds. Guess: a laptop that sleeps.
const STALL_MS_MAX: u64 = 20_000;
/// Time between two pushes that are made again, in milliseconds.
const REPEAT_EVERY_MS: u64 = 4_000;
/// How often a push is made at most.
const REPEATS_MAX: usize = 4;
/// A client that is disconnected while it does not read breaks within this time. Source: after a second without
/// progress those who wait are told that their messages are buffered, and nothing is left to be answered.
const GIVEN_UP_MS: u64 = 900;
/// Time between two clients that send what no node takes, in milliseconds.
const BLUNDER_EVERY_MS: u64 = 5_000;
/// Time between two clients that go away for a while, in milliseconds.
const ABSENCE_EVERY_MS: u64 = 1_500;
/// The longest that most of them are away, in milliseconds. Guess: a train in a tunnel.
const AWAY_MS_MAX: u64 = 5_000;
/// Time between two clients that flap, in milliseconds.
const FLAP_EVERY_MS: u64 = 8_000;
