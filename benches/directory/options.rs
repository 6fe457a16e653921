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
            seed: 1,
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "reach" => options.parts.push(Part::Reach),
                "crash" => options.parts.push(Part::Crash),
                "loss" => options.parts.push(Part::Loss),
                flag => {
                    let value: Option<u32> = args.next().and_then(|value| value.parse().ok());
                    let value = value.ok_or_else(|| format!("{flag:?} is no part, or needs a number"))?;
                    options.set(flag, value)?;
                }
            }
        }
        if options.parts.is_empty() {
            options.parts.extend([Part::Reach, Part::Crash]);
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
            ("--seed", _) => self.seed = u64::from(value),
            _ => return Err(format!("{flag} {value} means nothing here")),
        }
        Ok(())
    }
}

/// What `main` prints when it does not understand.
pub(crate) const USAGE: &str = "\
usage: directory [reach] [crash] [loss] [--samples N] [--rate N] [--rounds N] [--minutes N] [--loss PERCENT] [--seed N]
Without names: reach and crash. loss takes its minutes, so it runs only when it is named.";

/// Enough for a 99th percentile that is not simply the maximum.
const SAMPLES: usize = 200;
/// The goal speaks of a thousand.
const RATE: u32 = 1_000;
/// Beyond it the ports of one machine run out, and one process can not generate it.
const RATE_MAX: u32 = 10_000;
const ROUNDS: usize = 5;
/// The goal speaks of ten minutes.
const WATCHED: Duration = Duration::from_secs(600);
/// A day. What is kept of each look stays below 100 MB until then.
const MINUTES_MAX: u32 = 24 * 60;
/// The goal speaks of a fifth.
const LOSS: f64 = 0.2;
