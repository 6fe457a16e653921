//! What to run: parts by their names, and how long or how hard.

use std::time::Duration;

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// How soon a new session is routable everywhere.
    Reach,
    /// How soon the sessions of a killed node are gone.
    Crash,
    /// What lossy links do to the members' opinion of each other.
    Loss,
    /// What lookups, merges and claims cost.
    Structures,
    /// What a session costs in memory.
    Memory,
    /// What an idle client costs in memory.
    Clients,
    /// What is held for another node costs in memory.
    Copies,
    /// What comparing two directories costs.
    Digests,
    /// How soon a node that starts holds everything.
    Ready,
    /// What idle nodes say to each other.
    Idle,
}

impl Part {
    /// By its name on the command line.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "reach" => Self::Reach,
            "crash" => Self::Crash,
            "loss" => Self::Loss,
            "structures" => Self::Structures,
            "memory" => Self::Memory,
            "clients" => Self::Clients,
            "copies" => Self::Copies,
            "digests" => Self::Digests,
            "ready" => Self::Ready,
            "idle" => Self::Idle,
            _ => return None,
        })
    }
}

/// The command line, checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    /// What to run, in this order.
    pub(crate) parts: Vec<Part>,
    /// Sessions that `reach` watches in each of its regimes.
    pub(crate) samples: usize,
    /// Connects a second in the second regime of `reach`.
    pub(crate) rate: u32,
    /// Nodes that `crash` kills.
    pub(crate) rounds: usize,
    /// How long `loss` watches.
    pub(crate) watched: Duration,
    /// Share of the datagrams that `loss` drops in each direction, 0 to 1.
    pub(crate) loss: f64,
    /// Millions of sessions in the larger directory of `structures`; the other one has one million.
    pub(crate) millions: u64,
    /// Decides which datagrams are dropped and when samples are taken. The operating system still
    /// decides their order, so a seed makes runs alike, not equal.
    pub(crate) seed: u64,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// The text names the argument that is not understood.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            parts: Vec::new(),
            samples: SAMPLES,
            rate: RATE,
            rounds: ROUNDS,
            watched: WATCHED,
            loss: LOSS,
            millions: MILLIONS,
            seed: 1,
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            if let Some(part) = Part::named(&arg) {
                options.parts.push(part);
                continue;
            }
            let value: Option<u32> = args.next().and_then(|value| value.parse().ok());
            let value = value.ok_or_else(|| format!("{arg:?} is no part, or needs a number"))?;
            options.set(&arg, value)?;
        }
        if options.parts.is_empty() {
            options.parts.extend(USUAL);
        }
        Ok(options)
    }

    fn set(&mut self, flag: &str, value: u32) -> Result<(), String> {
        match (flag, value) {
            ("--samples", 1..) => self.samples = value as usize,
            ("--rate", 1..=RATE_MAX) => self.rate = value,
            ("--rounds", 1..) => self.rounds = value as usize,
            ("--minutes", 1..=MINUTES_MAX) => self.watched = Duration::from_secs(u64::from(value) * 60),
            ("--loss", 0..=100) => self.loss = f64::from(value) / 100.0,
            ("--millions", 1..=MILLIONS_MAX) => self.millions = u64::from(value),
            ("--seed", _) => self.seed = u64::from(value),
            _ => return Err(format!("{flag} {value} means nothing here")),
        }
        Ok(())
    }
}

/// What `main` prints when it does not understand.
pub(crate) const USAGE: &str = "\
usage: directory [PART...] [--samples N] [--rate N] [--rounds N] [--minutes N] [--loss PERCENT] [--millions N] [--seed N]
Parts: reach, crash, loss; memory, clients, copies, structures, digests, ready, idle.
Without names: all but loss, which takes its minutes.";

/// Memory first: what others have freed would count as resident.
const USUAL: [Part; 9] = [
    Part::Memory,
    Part::Clients,
    Part::Copies,
    Part::Structures,
    Part::Digests,
    Part::Ready,
    Part::Idle,
    Part::Reach,
    Part::Crash,
];
/// Enough for a 99th percentile that is not simply the maximum.
const SAMPLES: usize = 200;
/// The goal speaks of a thousand.
const RATE: u32 = 1_000;
/// The design's largest cluster.
const MILLIONS: u64 = 10;
/// 20 GB with what the bench keeps itself.
const MILLIONS_MAX: u32 = 200;
/// Beyond it the ports of one machine run out, and one process cannot generate it.
const RATE_MAX: u32 = 10_000;
const ROUNDS: usize = 5;
/// The goal speaks of ten minutes.
const WATCHED: Duration = Duration::from_secs(600);
/// A day. What is kept of each look stays below 100 MB until then.
const MINUTES_MAX: u32 = 24 * 60;
/// The goal speaks of a fifth.
const LOSS: f64 = 0.2;
