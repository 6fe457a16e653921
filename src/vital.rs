//! What a node cannot do without, and who notices that it is gone.
//!
//! A task that panics takes nothing with it but itself, and the node would go on without it: with
//! frozen knowledge, or deaf to its clients, and nobody would know. So every task that lives as long as
//! the node is spawned as [`Vitals::vital`]: its panic or its early end is a [`Fault`], and the node
//! says so and stops. A task that serves one link, session or request is [`Vitals::contained`]: its
//! panic is counted, and whoever spawned it ends what it was for.
//!
//! A task that is dropped, because the runtime ends or is taken away, has not failed.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::id::Incarnation;
use crate::limits;
use crate::metrics::Metrics;
use crate::metrics::label::{Label as _, Task};

/// Why a running node has to stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Another process runs under this node's name, and it started later.
    #[error(
        "another process with this node's name has joined the cluster (incarnation {known}); this one stops. \
         Give each node a --name of its own"
    )]
    Superseded {
        /// The incarnation of the other process.
        known: Incarnation,
    },
    /// Gossip ended, so that the node would go on with frozen knowledge.
    #[error("gossip ended: {0}; restart the node")]
    Gossip(String),
    /// A task ended without which the node would only seem to work.
    #[error("the task {task} failed: {problem}; restart the node, and report this defect")]
    Task {
        /// What it was for.
        task: &'static str,
        /// What its panic says, or that it ended.
        problem: String,
    },
    /// A panic has left something half done that the whole node relies on.
    #[error("a panic has left {what} half changed; restart the node, and report this defect")]
    Poisoned {
        /// What the lock guards.
        what: &'static str,
    },
}

/// Watches over a node. A clone watches over the same one.
#[derive(Clone)]
pub(crate) struct Vitals(Arc<Inner>);

struct Inner {
    fault: watch::Sender<Option<Fault>>,
    /// Tasks may end: the node stops.
    stopping: AtomicBool,
    metrics: Arc<Metrics>,
    started: Instant,
    /// When the watch ran last, in milliseconds after the start; [`NOT_BEGUN`] before.
    watched_ms: AtomicU64,
}

/// A contained task has panicked. It is logged and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

impl Vitals {
    /// Those of a node that starts.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner {
            fault: watch::Sender::new(None),
            stopping: AtomicBool::new(false),
            metrics,
            started: Instant::now(),
            watched_ms: AtomicU64::new(NOT_BEGUN),
        }))
    }

    /// The node's counts.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// The node cannot go on. The first fault stands.
    pub(crate) fn fail(&self, fault: Fault) {
        let is_first = self.0.fault.send_if_modified(|known| {
            let is_first = known.is_none();
            if is_first {
                *known = Some(fault.clone());
            }
            is_first
        });
        match fault {
            _ if !is_first => {}
            // A node that joins may begin again above it.
            Fault::Superseded { known } => warn!(%known, "a later boot of this node's name is known"),
            fault => error!(%fault, "this node cannot go on"),
        }
    }

    /// Why the node cannot go on, if so.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.0.fault.borrow().clone()
    }

    /// Waits until the node cannot go on.
    pub(crate) async fn failed(&self) -> Fault {
        let mut fault = self.0.fault.subscribe();
        match fault.wait_for(Option::is_some).await.map(|fault| fault.clone()) {
            Ok(Some(fault)) => fault,
            // This holds the sender, so that it does not come to that.
            _ => std::future::pending().await,
        }
    }

    /// The node stops: from now on its tasks may end.
    pub(crate) fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    /// The work of a task that lives as long as the node.
    pub(crate) fn vital(
        &self,
        task: Task,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let vitals = self.clone();
        async move {
            let problem = match AssertUnwindSafe(work).catch_unwind().await {
                Ok(()) => "it ended early".to_owned(),
                Err(payload) => said(&*payload).to_owned(),
            };
            if !vitals.0.stopping.load(Ordering::Acquire) && vitals.fault().is_none() {
                vitals.0.metrics.tasks_failed.with(task).increment(1);
                vitals.fail(Fault::Task { task: task.as_str(), problem });
            }
        }
    }

    /// Work whose panic is the end of what it is for, which the caller sees to.
    ///
    /// # Errors
    /// [`Panicked`].
    pub(crate) fn contained<F: Future>(
        &self,
        task: Task,
        work: F,
    ) -> impl Future<Output = Result<F::Output, Panicked>> + use<F> {
        // Not an async block: that would have room for the work twice.
        let vitals = self.clone();
        AssertUnwindSafe(work).catch_unwind().map(move |result| {
            result.map_err(|payload| {
                vitals.count(task, said(&*payload));
                Panicked
            })
        })
    }

    /// A task has failed, and what it was for ends.
    pub(crate) fn count(&self, task: Task, problem: &str) {
        self.0.metrics.tasks_failed.with(task).increment(1);
        error!(task = task.as_str(), problem, "a task failed, and what it was for ends");
    }

    /// The watch over the members runs.
    pub(crate) fn watched(&self) {
        let now_ms = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(NOT_BEGUN - 1);
        self.0.watched_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether the watch over the members has run lately, or has not begun yet. Takes no lock that
    /// anybody holds for long: it is asked when something hangs.
    pub(crate) fn is_watched(&self) -> bool {
        let watched_ms = self.0.watched_ms.load(Ordering::Relaxed);
        let silent_ms = self.0.started.elapsed().as_millis().saturating_sub(u128::from(watched_ms));
        watched_ms == NOT_BEGUN || silent_ms < limits::WATCH_SILENCE_MAX.as_millis()
    }
}

/// Does what a destructor has to do. Should that panic while another panic unwinds, the process would be
/// aborted, and nobody be told.
pub(crate) fn finally(work: impl FnOnce()) {
    if thread::panicking() {
        let _ = catch_unwind(AssertUnwindSafe(work));
    } else {
        work();
    }
}

/// What a panic says.
pub(crate) fn said<'a>(payload: &'a (dyn Any + 'static)) -> &'a str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("it says nothing")
}

const NOT_BEGUN: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use tokio::time::{advance, timeout};

    use super::*;

    fn vitals() -> (Vitals, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        (Vitals::new(Arc::clone(&metrics)), metrics)
    }

    fn failed(metrics: &Metrics, task: &str) -> bool {
        metrics.render().contains(&format!("pushmesh_tasks_failed_total{{task=\"{task}\"}} 1"))
    }

    #[tokio::test]
    async fn the_panic_of_a_vital_task_is_a_fault_that_says_what_it_said() {
        let (vitals, metrics) = vitals();
        tokio::spawn(vitals.vital(Task::Watch, async { panic!("on {}", "purpose") }));
        let problem = "on purpose".to_owned();
        let fault = timeout(Duration::from_secs(9), vitals.failed()).await.expect("it is a fault");
        assert_eq!(fault, Fault::Task { task: "watch", problem });
        assert!(failed(&metrics, "watch"), "{}", metrics.render());
    }

    #[tokio::test]
    async fn the_early_end_of_a_vital_task_is_a_fault_and_its_end_after_the_stop_is_none() {
        let (vitals, metrics) = vitals();
        vitals.vital(Task::Mesh, async {}).await;
        assert_eq!(vitals.fault(), Some(Fault::Task { task: "mesh", problem: "it ended early".to_owned() }));
        assert!(failed(&metrics, "mesh"));
        let (vitals, metrics) = self::vitals();
        vitals.stop();
        vitals.vital(Task::Mesh, async {}).await;
        assert_eq!(vitals.fault(), None);
        assert!(!failed(&metrics, "mesh"));
    }

    #[tokio::test]
    async fn a_task_that_is_dropped_has_not_failed() {
        let (vitals, metrics) = vitals();
        let task = tokio::spawn(vitals.vital(Task::Mesh, std::future::pending()));
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        drop(vitals.vital(Task::Mesh, std::future::pending()));
        assert_eq!(vitals.fault(), None);
        assert!(!failed(&metrics, "mesh"));
    }

    #[tokio::test]
    async fn of_several_faults_the_first_one_stands() {
        let (vitals, _) = vitals();
        vitals.fail(Fault::Superseded { known: Incarnation(2) });
        vitals.vital(Task::Mesh, async {}).await;
        vitals.fail(Fault::Gossip("it ended".to_owned()));
        assert_eq!(vitals.failed().await, Fault::Superseded { known: Incarnation(2) });
    }

    #[tokio::test]
    async fn the_panic_of_a_contained_task_is_counted_and_is_no_fault() {
        let (vitals, metrics) = vitals();
        assert_eq!(vitals.contained(Task::Link, async { 7 }).await, Ok(7));
        let lock = Mutex::new(0);
        let work = async {
            *lock.lock().unwrap() += 1;
            std::panic::panic_any(7)
        };
        assert_eq!(vitals.contained(Task::Link, work).await, Err(Panicked));
        assert_eq!(*lock.lock().unwrap_or_else(PoisonError::into_inner), 1);
        assert_eq!(vitals.fault(), None);
        assert!(failed(&metrics, "link"));
        assert!(timeout(Duration::ZERO, vitals.failed()).await.is_err());
    }

    #[test]
    fn a_destructor_that_fails_while_a_panic_unwinds_does_not_abort_the_process() {
        struct Fails;
        impl Drop for Fails {
            fn drop(&mut self) {
                finally(|| panic!("the second"));
            }
        }
        let both = || {
            let _fails = Fails;
            panic!("the first");
        };
        let payload: Box<dyn Any + Send> = catch_unwind(both).map(|(): ()| ()).unwrap_err();
        assert_eq!(said(&*payload), "the first");
        let payload = catch_unwind(|| drop(Fails)).unwrap_err();
        assert_eq!(said(&*payload), "the second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_has_not_run_for_five_seconds_is_missed() {
        let (vitals, _) = vitals();
        advance(Duration::from_secs(60)).await;
        assert!(vitals.is_watched(), "it has not begun: the node starts");
        vitals.watched();
        advance(Duration::from_millis(4_999)).await;
        assert!(vitals.is_watched());
        advance(Duration::from_millis(1)).await;
        assert!(!vitals.is_watched());
        vitals.watched();
        assert!(vitals.is_watched());
    }
}
