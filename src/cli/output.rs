//! What the commands say, on stdout and stderr.
//!
//! Results go to stdout with [`print_line`], which fails where they cannot be written: a script has
//! to know. What a person should know goes to stderr with [`tell`], which never fails. Commands that
//! run for long [`start`] a thread for stderr first, because nobody may read it, its disk may be full,
//! or its reader may be gone: none of that may hold up a node for a moment. What a node says on stdout
//! goes the same way, with [`announce`].

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;

use crate::limits;

mod lines;

use lines::Lines;
pub(super) use lines::Note;

static STDERR: OnceLock<Lines> = OnceLock::new();
static STDOUT: OnceLock<Lines> = OnceLock::new();

/// Whoever read our stdout has seen enough. Not a failure.
#[derive(Debug, thiserror::Error)]
#[error("the reader of stdout is gone")]
pub(super) struct ReaderGone;

/// From now on what is said on stderr, and announced on stdout, is written by threads. `note` is what
/// stderr gets where lines were lost.
///
/// # Errors
/// The system gives no thread, or no descriptor.
pub(super) fn start(note: Note) -> io::Result<()> {
    // Copies of the descriptors, because those of the standard library have locks, and buffers that
    // are written when the process ends.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    // A program that embeds two commands has them started already.
    let _ = STDERR.set(Lines::start(stderr, Some(note))?);
    // Stdout is read by scripts, which know nothing of other lines.
    let _ = STDOUT.set(Lines::start(stdout, None)?);
    Ok(())
}

/// Says a line on stderr. That it cannot be written is no reason to fail.
pub(super) fn tell(line: impl Display) {
    to_stderr(format!("{line}\n").as_bytes());
}

/// Puts whole lines on stderr.
fn to_stderr(lines: &[u8]) {
    match STDERR.get() {
        Some(stderr) => stderr.say(lines),
        None => _ = io::stderr().write_all(lines),
    }
}

/// Says a line of a node on stdout. That it cannot be written is no reason to fail.
pub(super) fn announce(line: impl Display) {
    let line = format!("{line}\n");
    match STDOUT.get() {
        Some(stdout) => stdout.say(line.as_bytes()),
        None => _ = io::stdout().write_all(line.as_bytes()),
    }
}

/// Writes one line of result to stdout.
///
/// # Errors
/// [`ReaderGone`], or what else keeps it from being written.
pub(super) fn print_line(line: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(line.as_ref()).and_then(|()| stdout.write_all(b"\n"));
    written.and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => ReaderGone.into(),
        _ => anyhow::Error::new(error).context("cannot write to stdout"),
    })
}

/// Waits until what was said is written, but not for long: a process that ends must end.
pub(super) fn flush() {
    for lines in [&STDOUT, &STDERR].into_iter().filter_map(OnceLock::get) {
        lines.flush(limits::LOG_FLUSH_TIMEOUT);
    }
}

/// A line of the log on its way to stderr, for `tracing`.
pub(super) struct LogLine;

impl Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        to_stderr(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
