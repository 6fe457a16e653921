//! A link at work: its tasks, the streams that the peer opens, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use quinn::{ConnectionError, RecvStream, SendStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, debug, error};

use crate::limits;
use crate::mesh::carried::Carried;
use crate::mesh::conduct::{Breach, soon};
use crate::mesh::endpoint::CloseCode;
use crate::mesh::link::Link;
use crate::mesh::stream::{Inbound, Priority};
use crate::metrics::label::Task;
use crate::vital::Panicked;
use crate::wire::Threads;

/// How a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkEnd {
    /// The peer said that it left the cluster.
    PeerLeft,
    /// This node closed it: it stops, or the peer broke the protocol.
    ClosedHere,
    /// The peer or the path is gone.
    Broken,
}

/// Runs a link until its connection closes, and says who closed it. Requests are sent once it is
/// [open](Link::open). What somebody waits for is done on the thread of the links, all else beside it.
pub(crate) async fn run(link: Arc<Link>, carried: Arc<Carried>, threads: Threads) -> LinkEnd {
    let tasks = Running { link: Arc::clone(&link), carried, threads }.spawn_tasks();
    let reason = link.connection().closed().await;
    link.end();
    drop(tasks);
    debug!(peer = %link.peer().name, %reason, "link closed");
    match reason {
        ConnectionError::ApplicationClosed(close) if close.error_code == CloseCode::Left.code() => {
            LinkEnd::PeerLeft
        }
        ConnectionError::LocallyClosed => LinkEnd::ClosedHere,
        _ => LinkEnd::Broken,
    }
}

/// A link and what it carries.
#[derive(Clone)]
struct Running {
    link: Arc<Link>,
    carried: Arc<Carried>,
    threads: Threads,
}

impl Running {
    /// The tasks of the link.
    fn spawn_tasks(&self) -> JoinSet<()> {
        let (mut tasks, here) = (JoinSet::new(), self.threads.links());
        let link = Arc::clone(&self.link);
        tasks.spawn_on(self.contained(true, async move { link.write().await }), here);
        let link = Arc::clone(&self.link);
        tasks.spawn_on(self.contained(true, async move { Err(watch_answers(&link).await) }), here);
        let running = self.clone();
        tasks.spawn_on(self.contained(true, async move { running.accept_datagrams().await }), here);
        let running = self.clone();
        tasks.spawn_on(self.contained(true, async move { running.accept_streams().await }), here);
        for task in self.carried.tasks() {
            let (task, link) = (Arc::clone(task), Arc::clone(&self.link));
            let (lasts, is_waited_for) = (task.lasts(), task.is_waited_for());
            let work = self.contained(lasts, async move { task.run(&link).await });
            tasks.spawn_on(work, if is_waited_for { here } else { self.threads.control() });
        }
        tasks
    }

    /// Work of the link. Its panic, its breach, and its early end where it `lasts`, are the end of the link: one
    /// that only seems to work would be worse than none. The task itself sees to that: whoever holds it may be gone
    /// before it.
    fn contained(
        &self,
        lasts: bool,
        work: impl Future<Output = Result<(), Breach>> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let link = Arc::clone(&self.link);
        let work = async move {
            let vitals = link.vitals();
            match vitals.contained(Task::Link, work).await {
                Ok(Ok(())) => {}
                Ok(Err(breach)) => link.reject(&breach),
                Err(Panicked) => fail(&link),
            }
            if lasts && link.connection().close_reason().is_none() {
                vitals.count(Task::Link, "it ended early");
                fail(&link);
            }
        };
        work.in_current_span()
    }

    async fn accept_datagrams(&self) -> Result<(), Breach> {
        while let Ok(datagram) = self.link.connection().read_datagram().await {
            self.carried.datagrams().receive(&self.link, datagram)?;
        }
        Ok(())
    }

    async fn accept_streams(&self) -> Result<(), Breach> {
        let mut streams = JoinSet::new();
        let connection = self.link.connection();
        loop {
            let (send, recv) = tokio::select! {
                uni = connection.accept_uni() => match uni {
                    Ok(recv) => (None, recv),
                    Err(_) => return Ok(()),
                },
                bi = connection.accept_bi() => match bi {
                    Ok((send, recv)) => (Some(send), recv),
                    Err(_) => return Ok(()),
                },
                Some(_) = streams.join_next(), if !streams.is_empty() => continue,
            };
            let pause = self.link.conduct().stream(Instant::now());
            let running = self.clone();
            let work = self.contained(false, async move { running.serve(send, recv).await });
            streams.spawn_on(work, self.threads.links());
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    }

    async fn serve(&self, send: Option<SendStream>, recv: RecvStream) -> Result<(), Breach> {
        let (kind, stream) =
            soon(Inbound::open(recv, send, self.link.version(), |byte| self.carried.kind(byte))).await?;
        let handler = self.carried.handler(kind).expect("a kind that is known has a handler");
        if kind.priority == Priority::Interactive {
            return handler.serve(&self.link, stream).await;
        }
        let link = Arc::clone(&self.link);
        let work = self.contained(false, async move { handler.serve(&link, stream).await });
        let _ = AbortOnDropHandle::new(self.threads.control().spawn(work)).await; // It tells by itself how it ended.
        Ok(())
    }
}

fn fail(link: &Link) {
    error!(peer = %link.peer().name, "closing the link");
    CloseCode::Ended.close(link.connection());
}

/// Ends when the peer has answered nothing for too long, although it was asked.
async fn watch_answers(link: &Link) -> Breach {
    let (mut answered, mut since) = (0, Instant::now());
    let mut looks = interval_at(since + ANSWERS_LOOK, ANSWERS_LOOK);
    loop {
        let now = looks.tick().await;
        let answers = link.answered();
        if link.pending() == 0 || answers != answered {
            (answered, since) = (answers, now);
        } else if now.saturating_duration_since(since) >= limits::ANSWER_SILENCE_MAX {
            return Breach::Mute;
        }
    }
}

/// Time between two looks at whether a peer answers.
const ANSWERS_LOOK: Duration = Duration::from_secs(5);
