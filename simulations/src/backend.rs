//! Backends that call the nodes over HTTP/1, tasks of the clients' host.
//!
//! A backend has one connection to each node, on which it makes its calls in turn; a batch has a
//! connection of its own. When a connection is gone, the next call makes a new one.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::timeout;
use turmoil::net::TcpStream;

use crate::ask::Ask;
use crate::event::{Event, Way};
use crate::id::{CallId, ClientIndex, NodeIndex, PushId, node_name};
use crate::reply::{self, Reply};
use crate::wire::HTTP_PORT;
use crate::world::World;

/// A call to be made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Its number.
    pub(crate) call: CallId,
    /// Which backend makes it.
    pub(crate) backend: usize,
    /// At which node.
    pub(crate) node: NodeIndex,
    /// What it asks.
    pub(crate) ask: Ask,
    /// The numbers of its pushes.
    pub(crate) pushes: Vec<PushId>,
    /// For each of its pushes the clients that the node looks for in the right place.
    pub(crate) found: Vec<Vec<(ClientIndex, NodeIndex)>>,
}

/// All backends of a run.
pub(crate) struct Backends {
    world: Arc<World>,
    calls: mpsc::Sender<Call>,
    inbox: Mutex<Option<mpsc::Receiver<Call>>>,
    /// Calls that are not over.
    open: AtomicUsize,
}

/// A connection to a node.
struct Line {
    requests: SendRequest<Full<Bytes>>,
    /// When it was made, in simulated milliseconds.
    since_ms: u64,
    /// When the last answer came over it.
    used_ms: u64,
}

impl Backends {
    /// Nobody has called.
    pub(crate) fn new(world: Arc<World>) -> Arc<Self> {
        let (calls, inbox) = mpsc::channel(CALLS_MAX);
        Arc::new(Self { world, calls, inbox: Mutex::new(Some(inbox)), open: AtomicUsize::new(0) })
    }

    /// Makes a call when its turn comes.
    pub(crate) fn call(&self, call: Call) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.calls.try_send(call).expect("a plan has fewer calls in one millisecond");
    }

    /// Whether all calls are over.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    /// Runs all of them.
    pub(crate) fn run(self: Arc<Self>) -> impl Future<Output = ()> {
        let inbox = self.inbox.lock().expect(NOT_POISONED).take();
        let mut inbox = inbox.expect("the host of the clients is never restarted");
        async move {
            let mut queues: BTreeMap<(usize, NodeIndex), mpsc::Sender<Call>> = BTreeMap::new();
            while let Some(call) = inbox.recv().await {
                if matches!(call.ask, Ask::Batch(_)) {
                    let backends = Arc::clone(&self);
                    tokio::task::spawn_local(async move { backends.make(&mut None, call).await });
                    continue;
                }
                let queue = queues.entry((call.backend, call.node)).or_insert_with(|| {
                    let (queue, calls) = mpsc::channel(QUEUE_MAX);
                    tokio::task::spawn_local(Arc::clone(&self).work(calls));
                    queue
                });
                // A backend that is behind leaves calls out: they were never made.
                if queue.try_send(call).is_err() {
                    self.open.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    }

    async fn work(self: Arc<Self>, mut calls: mpsc::Receiver<Call>) {
        let mut line = None;
        while let Some(call) = calls.recv().await {
            self.make(&mut line, call).await;
        }
    }

    async fn make(&self, line: &mut Option<Line>, call: Call) {
        self.ask(line, call).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Asks, and asks on if the answer is a page of a list.
    async fn ask(&self, line: &mut Option<Line>, call: Call) {
        let Call { call, node, ask, pushes, found, .. } = call;
        let called_ms = self.world.now_ms();
        self.world.tell(Event::Called { call, node, ask: ask.clone(), pushes: pushes.clone() });
        let way = if matches!(ask, Ask::Batch(_)) { Way::Line(call) } else { Way::Http };
        for ((push, aim), found) in pushes.iter().zip(ask.aims()).zip(found) {
            self.world.tell(Event::Pushed { push: *push, node, aim, found, way });
        }
        let mut cursor: Option<String> = None;
        loop {
            let exchange = self.exchange(line, node, &ask, &pushes, cursor.as_deref());
            let answered = timeout(PATIENCE, exchange).await;
            let (status, named, body) = match answered.unwrap_or_else(|_| Err("no answer".to_owned())) {
                Ok(answered) => answered,
                Err(why) => {
                    let (line_ms, used_ms) =
                        line.take().map_or((called_ms, called_ms), |line| (line.since_ms, line.used_ms));
                    let idle_ms = called_ms.saturating_sub(used_ms);
                    self.world.tell(Event::Lost { call, why, line_ms, idle_ms });
                    return;
                }
            };
            let reply = match named {
                true => reply::read(&ask, &pushes, status, &body),
                false => Reply::Odd("the answer has no x-request-id".to_owned()),
            };
            if let Reply::Pushed(fates) = &reply {
                for (push, fate) in pushes.iter().zip(fates) {
                    let (sessions, delivered) = (fate.sessions.clone(), fate.delivered);
                    self.world.tell(Event::Answered { push: *push, sessions, delivered });
                }
            }
            cursor = match &reply {
                Reply::Listed { cursor, .. } => cursor.clone(),
                _ => None,
            };
            self.world.tell(Event::Replied { call, status, reply });
            if cursor.is_none() {
                return;
            }
        }
    }

    /// Asks, over the connection that there is or over a new one. Returns the status, whether there is a
    /// request id, and the body.
    async fn exchange(
        &self,
        line: &mut Option<Line>,
        node: NodeIndex,
        ask: &Ask,
        pushes: &[PushId],
        cursor: Option<&str>,
    ) -> Result<(u16, bool, Bytes), String> {
        if line.as_ref().is_none_or(|line| line.requests.is_closed()) {
            let (requests, now_ms) = (connect(node).await?, self.world.now_ms());
            *line = Some(Line { requests, since_ms: now_ms, used_ms: now_ms });
        }
        let line = line.as_mut().ok_or("there is a line")?;
        let mut request = Request::builder().method(ask.method()).uri(ask.path(cursor));
        request = request.header(header::HOST, node_name(node));
        if let Some(id) = ask.message_id(pushes) {
            request = request.header("idempotency-key", id);
        }
        if let Some(ttl_s) = ask.ttl_s() {
            request = request.header("ttl", ttl_s);
        }
        let request = request.body(Full::from(ask.body(pushes))).map_err(|error| error.to_string())?;
        let response = line.requests.send_request(request).await.map_err(|error| error.to_string())?;
        let named = response.headers().contains_key("x-request-id");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        line.used_ms = self.world.now_ms();
        Ok((status, named, body.to_bytes()))
    }
}

async fn connect(node: NodeIndex) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect((node_name(node), HTTP_PORT)).await.map_err(|error| error.to_string())?;
    let (line, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::task::spawn_local(async move {
        // Whoever uses the line learns how it ended.
        let _ = connection.await;
    });
    Ok(line)
}

/// How long a backend waits for an answer: longer than any bound, so that the checker speaks first.
const PATIENCE: Duration = Duration::from_secs(6);
/// Calls waiting to be given to their backend: far more than a plan has in one millisecond.
const CALLS_MAX: usize = 4_096;
/// Calls waiting at one backend for one node. Guess: a survey asks more than a plan.
const QUEUE_MAX: usize = 256;
const NOT_POISONED: &str = "no panic happens under this lock";
