//! Waiting for a condition, never for a time to pass.

use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Mutex, MutexGuard};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that a test does not bound by itself. Guess: far above what a loaded
/// machine with two cores needs, so that it says "never" and not "slow".
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a busy machine may add to a time that is promised, before a test says that the promise is not kept.
/// Guess: several turns of everybody else who wants the processor; short enough to tell one timeout from the
/// next longer one.
pub(crate) const SLACK: Duration = Duration::from_secs(3);

/// Asks until the answer is `Ok`. The last `Err` is in the panic, so that one sees how far it came.
pub(crate) async fn eventually<T, E: Debug>(what: &str, mut check: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match check().await {
            Ok(found) => return found,
            Err(problem) if Instant::now() >= deadline => {
                panic!("{what}: not within {PATIENCE:?}: {problem:?}")
            }
            Err(_) => sleep(POLL).await,
        }
    }
}

/// The output of `future`, which has to come in time.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// For [`eventually`]: `found` once it is what was expected.
pub(crate) fn same<T: PartialEq + Debug>(found: T, expected: T) -> Result<T, String> {
    if found == expected { Ok(found) } else { Err(format!("found {found:?}, expected {expected:?}")) }
}

/// Waits until the clock of this machine, which all its nodes read, shows a later millisecond.
pub(super) async fn the_next_millisecond() {
    let before = unix_time().as_millis();
    while unix_time().as_millis() <= before {
        yield_now().await;
    }
}

/// What the clock of this machine shows.
#[allow(clippy::disallowed_methods, reason = "real nodes read this clock, and no simulation runs here")]
pub(super) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970")
}

/// Keeps tests that load the machine, or that measure time, from each other. The others may still
/// run beside the one that holds it.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static HEAVY: Mutex<()> = Mutex::const_new(());
    HEAVY.lock().await
}

/// Pause between two questions.
const POLL: Duration = Duration::from_millis(10);
