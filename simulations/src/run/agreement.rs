//! What has to become true once the faults of a run are over: that all agree, and that nothing happens then.

use pushmesh::limits;

use crate::checkers::{Quiet, at_rest, converged};
use crate::run::stage::Run;
use crate::violation::Violation;

impl Run<'_> {
    /// Waits until the core agrees, and sees whether they stay so.
    pub(super) fn agree(&mut self) -> Result<(), Violation> {
        let until = self.now_ms + AGREE_MS_MAX;
        let mut agreed = 0;
        loop {
            for _ in 0..AGREE_EVERY_MS {
                self.advance()?;
            }
            let agree = self.population.content();
            let (boots, connected) = self.in_core();
            let agree = agree.and_then(|()| converged(&self.core(), &boots, &connected));
            agreed = if agree.is_ok() { agreed + AGREE_EVERY_MS } else { 0 };
            if agreed >= STAY_MS {
                return Ok(());
            }
            if let Err(what) = agree
                && self.now_ms >= until
            {
                let checker = "all nodes and clients agree within a bound after the faults";
                return Err(Violation { at_ms: self.now_ms, checker, what });
            }
        }
    }

    /// How long nodes hold for others that are gone what nobody comes for, in milliseconds.
    fn copies_held_ms(&self) -> u64 {
        let keeping = self.plan.settings.keeping.as_ref().filter(|keeping| keeping.copies > 0);
        keeping.map_or(0, |keeping| {
            u64::from(keeping.seconds) * 1_000 + limits::DROPPED_WITHIN.as_millis() as u64
        })
    }

    /// Nothing happens for a while, and then nothing has been transferred.
    pub(super) fn be_quiet(&mut self) -> Result<(), Violation> {
        // What was promised last is on its way, and what was replaced is swept.
        for _ in 0..UNTIL_QUIET_MS + self.copies_held_ms() {
            self.advance()?;
        }
        let until = self.now_ms + SPREAD_MS_MAX;
        let (boots, connected) = loop {
            let (quiet, packets) = (Quiet::begin(&self.in_core().0), self.world.packets());
            for _ in 0..1_000 * QUIET_SECONDS {
                self.advance()?;
            }
            let packets = self.world.packets() - packets;
            let (boots, connected) = self.in_core();
            if quiet.has_spread(&boots) && self.now_ms < until {
                continue;
            }
            quiet.check(&boots, packets, QUIET_SECONDS).map_err(|what| {
                let checker = "without work only digests and heartbeats are on the wire";
                Violation { at_ms: self.now_ms, checker, what }
            })?;
            break (boots, connected);
        };
        at_rest(&boots, &connected).map_err(|what| {
            let checker = "without work nobody holds anything but connections";
            Violation { at_ms: self.now_ms, checker, what }
        })
    }
}

/// How long nodes and clients have to agree after the faults, in milliseconds. Arithmetic: a stop in
/// good order (30 s at most), a boot that waits for sections, some dials that back off.
const AGREE_MS_MAX: u64 = 60_000;
/// Time between two looks at whether all agree, in milliseconds: they cost more than the run itself.
const AGREE_EVERY_MS: u64 = 50;
/// How long they have to stay so, in milliseconds. Source: longer than any timer of the directory, and than
/// a link is silent until the side that still believes in it doubts its peer.
const STAY_MS: u64 = 4_000;
/// How long frames may be on their way at the end, and what was replaced waits to be swept, in
/// milliseconds. Arithmetic: a link that lost against its twin is closed after 5 s, and nodes sweep
/// every 2 s.
const UNTIL_QUIET_MS: u64 = 8_000;
/// How long sections of nodes that are gone may take to get to all boots, in milliseconds. Guess: each of them goes to a random peer
/// every 2 s, and a run has some boots.
const SPREAD_MS_MAX: u64 = 120_000;
/// How long nothing happens at the end. Source: five digests of each node.
const QUIET_SECONDS: u64 = 10;
