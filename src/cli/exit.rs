//! Exit codes, for scripts.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what it was asked to; of a push: written to at least one session.
    Done,
    /// It failed.
    Error,
    /// It was called in a way that cannot work. clap uses the same code.
    Usage,
    /// There is no session of that user or device.
    NoSession,
    /// The message is not known to have been written, or not yet: to a session that there is, or because the node
    /// cannot know whether there is one. Or it is not known to be stored, and that was waited for.
    NotDelivered,
    /// Of a node: another process of its name is a member of the cluster.
    NameTaken,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Error => 1,
            Exit::Usage => 2,
            Exit::NoSession => 3,
            Exit::NotDelivered => 4,
            Exit::NameTaken => 5,
        })
    }
}

/// The table for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done; push: delivered (or accepted, with --wait none); node: stopped cleanly
  1  error
  2  wrong usage or configuration
  3  no session of that user or device
  4  not delivered yet, or not known to be: queued, buffered, overloaded, unreachable,
     interrupted, isolated, not_ready, id_reused; with --wait stored: not_stored
  5  node: another process of its name is a member of the cluster";
