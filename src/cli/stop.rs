//! SIGTERM and SIGINT: how a node is asked to stop, and what sees to it that it does.

use std::io;
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::output::{self, tell};

/// SIGTERM and SIGINT.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on a signal does not end the process, but is heard here.
    ///
    /// # Errors
    /// The system does not let us listen.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("can not listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("can not listen for SIGINT")?;
        Ok(Self { terminate, interrupt })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Ends the process after a signal if it has not ended by itself within `bound`, or soon after a second
/// signal. A node whose threads all hang hears no signal and no timer; this has a thread and a runtime
/// of its own.
///
/// # Errors
/// The system gives no thread, or does not let us listen.
pub(super) fn insist(bound: Duration) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build().context("can not watch the stop")?;
    let mut signals = {
        let _inside = runtime.enter();
        StopSignals::listen()?
    };
    let overdue = async move {
        signals.next().await;
        if timeout(bound + GRACE, signals.next()).await.is_ok() {
            sleep(GRACE).await;
        }
    };
    let watch = move || {
        runtime.block_on(overdue);
        tell("pushmesh: the node does not stop in time; the process ends");
        output::flush();
        process::exit(OVERDUE);
    };
    let started: io::Result<_> = thread::Builder::new().name("stop".into()).spawn(watch);
    started.map(drop).context("can not watch the stop")
}

/// What the process may take beyond the bound of its stop, or after a second signal. Guess: ends of
/// threads, and the last lines of the log.
const GRACE: Duration = Duration::from_secs(1);
/// The exit code of a process that did not end by itself: that of any error.
const OVERDUE: i32 = 1;
