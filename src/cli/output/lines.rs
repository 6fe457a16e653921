//! Lines on their way to a stream that may be slow, full, stuck or gone.
//!
//! ```text
//!   say ──► waiting (bounded) ──► thread ──► stream
//!              │ full                │ it takes nothing
//!              ▼                     ▼
//!            lost, counted        lost, counted
//! ```
//!
//! Whoever says a line never waits and never fails: one thread writes, and a stream that blocks
//! blocks that thread alone. A line that finds no room, or that the stream refuses, is lost and
//! counted. Where lines were lost, the stream gets a line that says how many, as soon as it takes
//! lines again. The thread belongs to the process and ends with it; [`Lines::flush`] waits for what
//! is on its way, within a bound.
//!
//! tracing-appender's `NonBlocking` has the same idea, but counts lines and not bytes, forgets what
//! its thread could not write, and prints to stdout when its own end takes too long.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::limits;
use crate::metrics::LOG_LINES_DROPPED;

/// What is said where lines were lost; of how many.
pub(in crate::cli) type Note = fn(u64) -> String;

/// The way to one stream. A clone is the same way.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Told when something is to be written.
    filled: Condvar,
    /// Told when everything is written.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    /// Whole lines.
    waiting: Vec<u8>,
    /// Lines lost behind those that wait. Nothing else waits behind them, so that the order is kept.
    lost: u64,
    /// The thread is busy with what it took.
    writing: bool,
}

impl Lines {
    /// Starts the thread that writes to `stream`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(stream: impl Write + Send + 'static, note: Option<Note>) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { state: Mutex::default(), filled: Condvar::new(), emptied: Condvar::new() });
        let pen = Pen { stream, note, lost: 0, torn: false };
        let taken = Arc::clone(&shared);
        // A thread, because a write to a file or a pipe cannot be waited for in any other way. It is a
        // part of the command line, which no simulation runs.
        thread::Builder::new().name("output".into()).spawn(move || taken.write_all_that_comes(pen))?;
        Ok(Self(shared))
    }

    /// Puts whole lines on the way, or loses them if there is no room.
    pub(super) fn say(&self, lines: &[u8]) {
        let mut state = self.0.lock();
        if state.lost > 0 || state.waiting.len() + lines.len() > limits::LOG_BYTES_MAX {
            state.lost += lose(lines);
        } else {
            state.waiting.extend_from_slice(lines);
        }
        drop(state);
        self.0.filled.notify_one();
    }

    /// Waits until everything that was said is written or lost, for at most `bound`.
    pub(super) fn flush(&self, bound: Duration) {
        let busy = |state: &mut State| state.writing || !state.waiting.is_empty() || state.lost > 0;
        let state = self.0.lock();
        // What is not written by then is not worth a process that does not end.
        let _ = self.0.emptied.wait_timeout_while(state, bound, busy);
    }
}

impl Shared {
    fn write_all_that_comes(&self, mut pen: Pen<impl Write>) {
        loop {
            let (lines, lost) = self.take();
            pen.write(&lines);
            if lost > 0 {
                pen.lost += lost;
                pen.tell_lost();
            }
        }
    }

    /// Waits for something to write.
    fn take(&self) -> (Vec<u8>, u64) {
        let mut state = self.lock();
        state.writing = false;
        while state.waiting.is_empty() && state.lost == 0 {
            self.emptied.notify_all();
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.writing = true;
        (std::mem::take(&mut state.waiting), std::mem::take(&mut state.lost))
    }

    /// What is kept here is whole at any time, also should somebody have panicked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes to the stream, and remembers what it owes it.
struct Pen<W> {
    stream: W,
    note: Option<Note>,
    /// Lines that were lost and of which the stream does not tell yet.
    lost: u64,
    /// The stream ends in the middle of a line.
    torn: bool,
}

impl<W: Write> Pen<W> {
    /// Writes lines, behind the one that tells of those lost before.
    fn write(&mut self, lines: &[u8]) {
        if self.tell_lost() {
            if let Err(rest) = self.put(lines) {
                self.lost += lose(rest);
            }
        } else {
            self.lost += lose(lines);
        }
    }

    /// Tells how many lines were lost. `false`: the stream still takes nothing.
    fn tell_lost(&mut self) -> bool {
        if self.lost == 0 {
            return true;
        }
        let mut note = if self.torn { "\n".to_owned() } else { String::new() };
        if let Some(text) = self.note {
            note.push_str(&text(self.lost));
            note.push('\n');
        }
        let told = self.put(note.as_bytes()).is_ok();
        if told {
            self.lost = 0;
        }
        told
    }

    /// Writes bytes. Of what the stream does not take it gives the rest, from the line on that is torn.
    fn put<'a>(&mut self, bytes: &'a [u8]) -> Result<(), &'a [u8]> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(0) => return Err(rest),
                Ok(written) => {
                    self.torn = rest[written - 1] != b'\n';
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process has made the stream non-blocking: it is shared with us.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
                Err(_) => return Err(rest),
            }
        }
        Ok(())
    }
}

/// Counts lines as lost, and gives their number.
fn lose(lines: &[u8]) -> u64 {
    let lost = lines.iter().filter(|byte| **byte == b'\n').count().max(1) as u64;
    LOG_LINES_DROPPED.fetch_add(lost, Ordering::Relaxed);
    lost
}

/// Pause before a stream that does not block is tried again. Guess: nobody reads a log faster.
const RETRY: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
