//! What backends ask in a run, and the survey at its end: when all agree, every node has to answer
//! exactly.

use crate::ask::Ask;
use crate::backend::Call;
use crate::event::Event;
use crate::host::found;
use crate::id::{NodeIndex, user_of};
use crate::run::stage::Run;
use crate::violation::Violation;

impl Run<'_> {
    /// A backend calls a node over HTTP, whether it runs or not.
    pub(super) fn call(&mut self, backend: usize, node: NodeIndex, ask: Ask) {
        let call = self.calls;
        self.calls += 1;
        let first = self.pushes + 1;
        self.pushes += ask.pushes() as u64;
        let pushes: Vec<_> = (first..=self.pushes).collect();
        let connected = if pushes.is_empty() { Vec::new() } else { self.population.connected_once() };
        let boot = self.boot_of(node);
        let finds = |aim| {
            boot.as_ref()
                .map(|boot| found(&boot.replica, &boot.observer, aim, &connected))
                .unwrap_or_default()
        };
        let found = ask.aims().into_iter().map(finds).collect();
        self.backends.call(Call { call, backend, node, ask, pushes, found });
    }

    /// Asks every node for everything.
    pub(super) fn survey(&mut self) -> Result<(), Violation> {
        // A backend that is behind may still disconnect somebody.
        if !self.backends.is_idle() {
            self.answers()?;
            self.agree()?;
        }
        let connected = self.population.connected();
        let nodes = self.plan.nodes;
        let users: Vec<_> =
            (0..SURVEYED_USERS).map(|place| user_of(place * self.plan.clients / SURVEYED_USERS)).collect();
        let names = self.hosts.boots().iter().flatten().map(|boot| boot.replica.me().to_string()).collect();
        self.world.tell(Event::Agreed { connected, names });
        for node in 0..nodes {
            for ask in [Ask::Stats, Ask::Nodes, Ask::List { limit: 7 }, Ask::List { limit: 1_000 }] {
                self.call(SURVEYORS.0, node, ask);
            }
            for user in &users {
                self.call(SURVEYORS.1, node, Ask::Who(*user));
                self.call(SURVEYORS.1, node, Ask::Explain(*user));
            }
        }
        self.answers()
    }

    /// Waits until all calls are over.
    fn answers(&mut self) -> Result<(), Violation> {
        let until = self.now_ms + ANSWERS_MS_MAX;
        while !self.backends.is_idle() {
            self.advance()?;
            if self.now_ms >= until {
                let (checker, what) = ("calls come to an end", "a backend still waits".to_owned());
                return Err(Violation { at_ms: self.now_ms, checker, what });
            }
        }
        Ok(())
    }
}

/// How long calls take at most when all is well, in milliseconds. Arithmetic: 256 that wait at a
/// backend, of four latencies each, and one to a node that does not answer.
const ANSWERS_MS_MAX: u64 = 120_000;
/// Users that each node is asked about.
const SURVEYED_USERS: usize = 6;
/// The backends that ask, beyond those of a plan: their connections are new.
const SURVEYORS: (usize, usize) = (100, 101);
