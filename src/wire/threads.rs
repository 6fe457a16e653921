//! The threads that a node works on.
//!
//! ```text
//!   control   gossip, sections, listings, the watch over the node
//!   push 0    connections with their requests and sessions, and the links
//!   push 1    connections with their requests and sessions
//!   ...
//! ```
//!
//! A task stays on the thread that it was spawned on. Waking another thread costs as much as all that a node does for a
//! push, and a runtime that shares its tasks out among its threads wakes some for each. A connection is accepted by the
//! thread that serves it. All links are on one: they share one socket, and each of them has one writer, so that
//! pushes that come in on several threads keep their order (docs/adr/0018-threads-instead-of-work-stealing.md).

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The threads of one node. Those that it has started end when the last clone is dropped.
#[derive(Clone)]
pub struct Threads {
    control: Handle,
    push: Arc<[Handle]>,
    _running: Option<Arc<DropGuard>>,
}

impl Threads {
    /// None of its own: all tasks are on the runtime that calls.
    ///
    /// # Panics
    /// Outside of a runtime of tokio.
    #[must_use]
    pub fn current() -> Self {
        let here = Handle::current();
        Self { push: [here.clone()].into(), control: here, _running: None }
    }

    /// Starts so many threads for connections and pushes, and at least one. All else is on the runtime that calls.
    ///
    /// # Errors
    /// The operating system gives no more threads or files.
    ///
    /// # Panics
    /// Outside of a runtime of tokio.
    pub fn start(count: usize) -> io::Result<Self> {
        let end = CancellationToken::new();
        let running = Some(Arc::new(end.clone().drop_guard()));
        let push =
            (0..count.max(1)).map(|number| start_one(number, end.clone())).collect::<io::Result<_>>()?;
        Ok(Self { control: Handle::current(), push, _running: running })
    }

    /// Where the links are.
    pub(crate) fn links(&self) -> &Handle {
        &self.push[0]
    }

    /// Where the work is that no push waits for.
    pub(crate) fn control(&self) -> &Handle {
        &self.control
    }

    /// Those that carry pushes; at least one.
    pub(crate) fn push(&self) -> &[Handle] {
        &self.push
    }

    /// Ends when each thread for pushes has run a task that is new to it.
    pub(crate) fn turn(&self) -> impl Future<Output = ()> + Send + 'static {
        let push = Arc::clone(&self.push);
        async move {
            for thread in push.iter() {
                // One whose runtime has ended runs nothing, and nobody waits for it.
                let _ = thread.spawn(async {}).await;
            }
        }
    }
}

fn start_one(number: usize, end: CancellationToken) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name(format!("push-{number}")).spawn(move || runtime.block_on(end.cancelled()))?;
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn each_push_thread_is_one_of_its_own_and_control_work_is_here() {
        let threads = Threads::start(2).unwrap();
        let name = || async { thread::current().name().map(str::to_owned) };
        let mut names = Vec::new();
        for handle in threads.push().iter().chain([threads.links()]) {
            names.push(handle.spawn(name()).await.unwrap().unwrap());
        }
        assert_eq!(names, ["push-0", "push-1", "push-0"]);
        assert_eq!(threads.control().spawn(name()).await.unwrap().as_deref(), thread::current().name());
    }

    #[tokio::test]
    async fn the_threads_end_with_the_last_who_uses_them() {
        let threads = Threads::start(1).unwrap();
        let (held, dropped) = oneshot::channel::<()>();
        threads.push()[0].spawn(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        let other = threads.clone();
        drop(threads);
        other.turn().await;
        drop(other);
        let dropped = timeout(Duration::from_secs(30), dropped).await.expect("it ends");
        assert!(dropped.is_err(), "what ran there is dropped");
    }

    #[tokio::test]
    async fn a_thread_that_hangs_has_no_turn() {
        let threads = Threads::start(2).unwrap();
        let (hangs, go_on) = std::sync::mpsc::channel::<()>();
        threads.push()[1].spawn(async move { go_on.recv() });
        let mut turn = Box::pin(threads.turn());
        assert!(futures_util::poll!(&mut turn).is_pending());
        threads.push()[0].spawn(async {}).await.unwrap();
        assert!(futures_util::poll!(&mut turn).is_pending(), "the other one did not run");
        hangs.send(()).unwrap();
        turn.await;
    }
}
