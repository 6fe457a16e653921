//! What happened in a run, as one number and as lines.
//!
//! Every datagram between nodes is there with its time, source, destination, length and a hash of its contents, and
//! every event of clients, pushes and faults. Two runs of one seed have the same lines, and so the
//! same hash.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use siphasher::sip::SipHasher13;

/// The trace of one run.
pub(crate) struct Trace {
    hasher: SipHasher13,
    lines: u64,
    file: Option<BufWriter<File>>,
    /// The last lines, oldest first, for the report of a failure.
    recent: std::collections::VecDeque<String>,
}

impl Trace {
    /// An empty trace, which is also written to `path`.
    ///
    /// # Errors
    /// Those of creating the file.
    pub(crate) fn new(path: Option<&Path>) -> io::Result<Self> {
        let file = path.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Self { hasher: SipHasher13::new(), lines: 0, file, recent: Default::default() })
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, line: String, is_packet: bool) {
        self.hasher.write(line.as_bytes());
        self.hasher.write_u8(b'\n');
        self.lines += 1;
        if let Some(file) = &mut self.file {
            // A trace that cannot be written shows at its end, where it is flushed.
            let _ = writeln!(file, "{line}");
        }
        if !is_packet {
            if self.recent.len() == RECENT_LINES {
                self.recent.pop_front();
            }
            self.recent.push_back(line);
        }
    }

    /// The hash of all lines so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// How many lines there are.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// The last events, oldest first.
    pub(crate) fn recent(&self) -> impl Iterator<Item = &str> {
        self.recent.iter().map(String::as_str)
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    /// Those of writing the file.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}

/// Events that a failure is reported with. Guess: some screens.
const RECENT_LINES: usize = 60;
