//! Which boot of this node is this? A number that grows with every start, whatever the clock says.
//!
//! Peers tell a restarted node from its former self by the incarnation alone, so a node that came
//! back with a smaller one would be ignored. Three sources push it forward: the clock, the file
//! that the last boot left in the data directory, and what peers remember of this name. Any one of
//! them is enough when the others are missing.
//!
//! File access is blocking on purpose: it happens once, before anything else of the node runs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::id::Incarnation;

/// The incarnation of a boot at `now_ms` (Unix milliseconds, with a spread that is to be drawn, from 0 to 999: two processes of one name
/// that start in the same moment take two): the clock, or a `step` above the last one
/// that was `persisted` here and the highest that any peer has `known` under this name. The step is to be drawn, from
/// 1 to 60,000: of a boot that nobody who is asked has heard of, the next one cannot take the same number.
///
/// Saturates: with `u64::MAX` in use there is no higher one, and the peers answer that it is stale.
#[must_use]
pub fn decide(
    now_ms: u64,
    persisted: Option<Incarnation>,
    known: Option<Incarnation>,
    step: u64,
) -> Incarnation {
    let above = |last: Option<Incarnation>| last.map_or(0, |last| last.0.saturating_add(step));
    Incarnation(now_ms.max(above(persisted)).max(above(known)))
}

/// Remembers the last incarnation across restarts, in `--data-dir`.
#[derive(Debug)]
pub(crate) struct IncarnationFile {
    dir: PathBuf,
}

impl IncarnationFile {
    /// The file in `data_dir`; the directory is made when it is not there.
    ///
    /// # Errors
    /// [`IncarnationError::Io`] when the directory cannot be made.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, IncarnationError> {
        fs::create_dir_all(data_dir).map_err(|source| IncarnationError::Io {
            action: "make",
            path: data_dir.to_owned(),
            source,
        })?;
        Ok(Self { dir: data_dir.to_owned() })
    }

    /// What the last boot stored; `None` on the first one.
    ///
    /// # Errors
    /// [`IncarnationError`] when the file cannot be read or does not hold a number. Nothing is
    /// changed.
    pub(crate) fn load(&self) -> Result<Option<Incarnation>, IncarnationError> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(IncarnationError::Io { action: "read", path, source }),
        };
        match text.trim().parse() {
            Ok(number) => Ok(Some(Incarnation(number))),
            Err(_) => Err(IncarnationError::Garbled { path }),
        }
    }

    /// Replaces the stored incarnation. When this returns `Ok`, it survives a power cut; a failure
    /// leaves the former one in place.
    ///
    /// # Errors
    /// [`IncarnationError::Io`] names the step that failed.
    pub(crate) fn store(&self, incarnation: Incarnation) -> Result<(), IncarnationError> {
        let fresh = self.dir.join(TEMPORARY_NAME);
        let io = |action: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| IncarnationError::Io { action, path, source }
        };
        let mut file = File::create(&fresh).map_err(io("create", &fresh))?;
        writeln!(file, "{incarnation}").map_err(io("write", &fresh))?;
        file.sync_all().map_err(io("sync", &fresh))?;
        drop(file);
        fs::rename(&fresh, self.path()).map_err(io("rename", &fresh))?;
        // The rename is in the directory, and only a synced directory survives a power cut.
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io("sync", &self.dir))
    }

    fn path(&self) -> PathBuf {
        self.dir.join(FILE_NAME)
    }
}

/// How far a boot is above the clock, in milliseconds. Guess: of processes that one command starts hardly two take one number, and a
/// supervisor has not started many more before the clock has passed it.
pub(crate) const SPREAD: RangeInclusive<u64> = 0..=999;
/// How far a boot is above one that is ahead of the clock, in milliseconds. Guess: a minute of the clock, so that of a thousand boots in a row
/// hardly two take one step.
pub(crate) const STEPS: RangeInclusive<u64> = 1..=60_000;
/// The file inside the data directory: one decimal number and a line feed.
const FILE_NAME: &str = "incarnation";
/// Where the next content is written before it replaces the file.
const TEMPORARY_NAME: &str = "incarnation.new";

/// Why the incarnation could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IncarnationError {
    /// The file system refused.
    #[error("cannot {action} {path}: {source}; check that --data-dir is writable", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file holds something that is not an incarnation.
    #[error(
        "{path} does not hold an incarnation (one decimal number); \
         check that --data-dir is this node's own, then delete the file: clock and peers decide the next one",
        path = path.display()
    )]
    Garbled {
        /// The file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_decides_unless_something_is_ahead_of_it() {
        let decide = |persisted: Option<u64>, known: Option<u64>, step| {
            decide(1_000, persisted.map(Incarnation), known.map(Incarnation), step).0
        };
        assert_eq!(decide(None, None, 7), 1_000);
        assert_eq!(decide(Some(5), Some(6), 7), 1_000);
        assert_eq!(decide(Some(1_000), None, 1), 1_001);
        assert_eq!(decide(Some(2_000), Some(3_000), 7), 3_007);
        assert_eq!(decide(Some(4_000), Some(3_000), 9), 4_009);
    }

    #[test]
    fn an_exhausted_incarnation_does_not_wrap() {
        assert_eq!(decide(0, Some(Incarnation(u64::MAX)), None, 7), Incarnation(u64::MAX));
    }

    #[test]
    fn what_was_stored_is_loaded_and_the_directory_is_made() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("n1").join("data");
        let file = IncarnationFile::open(&dir).unwrap();
        assert_eq!(file.load().unwrap(), None);
        file.store(Incarnation(41)).unwrap();
        file.store(Incarnation(42)).unwrap();
        assert_eq!(IncarnationFile::open(&dir).unwrap().load().unwrap(), Some(Incarnation(42)));
        assert!(!dir.join(TEMPORARY_NAME).exists(), "the temporary file became the file");
    }

    #[test]
    fn a_torn_temporary_file_does_not_matter() {
        let root = tempfile::tempdir().unwrap();
        let file = IncarnationFile::open(root.path()).unwrap();
        file.store(Incarnation(7)).unwrap();
        fs::write(root.path().join(TEMPORARY_NAME), "9999999 and then the power").unwrap();
        assert_eq!(file.load().unwrap(), Some(Incarnation(7)));
        file.store(Incarnation(8)).unwrap();
        assert_eq!(file.load().unwrap(), Some(Incarnation(8)));
    }

    #[test]
    fn a_garbled_file_is_an_error_that_says_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        let file = IncarnationFile::open(root.path()).unwrap();
        for content in [&b""[..], b"-3", b"abc", b"\xff\xfe", b"99999999999999999999999"] {
            fs::write(root.path().join(FILE_NAME), content).unwrap();
            let error = file.load().expect_err("that is no incarnation");
            assert!(matches!(error, IncarnationError::Garbled { .. }));
            assert!(error.to_string().contains("delete the file"), "{error}");
        }
    }
}
