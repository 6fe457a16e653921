//! SIGTERM and SIGINT: how a node is asked to stop, and what sees to it that it does.

use std::io;
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
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
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
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

/// Sees to it that the process ends.
pub(super) struct Insist(watch::Sender<Option<Duration>>);

impl Insist {
    /// The process ends within `bound`, or is ended.
    pub(super) fn on(&self, bound: Duration) {
        self.0.send_replace(Some(bound));
    }
}

/// Ends the process after a signal if it has not ended by itself within `bound`, or soon after a second
/// signal. A node whose control thread hangs hears no signal and no timer; this has a thread and a runtime
/// of its own.
///
/// # Errors
/// The system gives no thread, or does not let us listen.
pub(super) fn insist(bound: Duration) -> anyhow::Result<Insist> {
    let (insist, mut insisted) = watch::channel(None);
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot watch the stop")?;
    let mut signals = {
        let _inside = runtime.enter();
        StopSignals::listen()?
    };
    let overdue = async move {
        let bound = tokio::select! {
            () = signals.next() => bound,
            bound = stops(&mut insisted) => bound,
        };
        if timeout(bound + GRACE, signals.next()).await.is_ok() {
            sleep(2 * GRACE).await;
        }
    };
    let watch = move || {
        runtime.block_on(overdue);
        tell("pushmesh: the node does not stop in time; the process ends");
        output::flush();
        process::exit(OVERDUE);
    };
    let started: io::Result<_> = thread::Builder::new().name("stop".into()).spawn(watch);
    started.context("cannot watch the stop")?;
    Ok(Insist(insist))
}

/// Waits until the process stops by itself, and gives its bound.
async fn stops(insisted: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match insisted.wait_for(Option::is_some).await.map(|bound| *bound) {
        Ok(Some(bound)) => bound,
        _ => std::future::pending().await, // Nobody is left who could say it: the process ends.
    }
}

/// What the process may take beyond the bound of its stop, or after a second signal. Guess: ends of
/// threads, and the last lines of the log.
const GRACE: Duration = Duration::from_secs(1);
/// The exit code of a process that did not end by itself: that of any error.
const OVERDUE: i32 = 1;
