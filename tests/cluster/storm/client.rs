//! A client as docs/PROTOCOL.md asks of one, whose connections break and are taken over at random.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::Storm;
use super::seen::{Arrival, Seen};

type Socket = WebSocketStream<TcpStream>;

/// A client, from one connection to the next.
pub(super) struct StormClient {
    user: usize,
    storm: Arc<Storm>,
    random: u64,
    resume: Option<String>,
    /// The segments of its welcomes, in their order: the last one is that of its connection.
    welcomed: Vec<String>,
    /// Earlier ones than this of those were told to be late.
    pending: usize,
    /// The age of the latest segment of which a message has come.
    newest: Option<usize>,
    positions: BTreeMap<String, u64>,
    recent: VecDeque<String>,
    /// Messages that are not acknowledged yet, of which segments.
    unacked: BTreeMap<String, u64>,
    seen: Seen,
    /// The last message came then.
    heard: Instant,
}

/// How a connection ended.
enum End {
    /// It broke, or the client breaks it.
    Broken,
    /// Nothing comes any more, and the storm is over.
    Done,
}

impl StormClient {
    /// Connects and reads until the storm is over and nothing comes any more.
    pub(super) async fn run(user: usize, storm: Arc<Storm>) -> Seen {
        let mut client = Self {
            user,
            storm,
            random: user as u64 + 1,
            resume: None,
            welcomed: Vec::new(),
            pending: 0,
            newest: None,
            positions: BTreeMap::new(),
            recent: VecDeque::new(),
            unacked: BTreeMap::new(),
            seen: Seen::default(),
            heard: Instant::now(),
        };
        let mut before = None;
        loop {
            let Ok(Some(mut socket)) = timeout(CONNECT, client.connect()).await else {
                sleep(Duration::from_millis(20 + client.draw(80))).await;
                continue;
            };
            drop(before.take()); // A connection that was taken over is not closed before.
            match client.read(&mut socket).await {
                End::Done => return client.seen,
                End::Broken if client.draw(2) == 0 => before = Some(socket),
                End::Broken => {}
            }
        }
    }

    async fn connect(&mut self) -> Option<Socket> {
        let nodes = self.storm.nodes.clone();
        let node = nodes[self.draw(nodes.len() as u64) as usize];
        let mut query = format!("user=u{}&device=d&keep=60", self.user);
        if let Some(resume) = &self.resume {
            let positions = self.positions.iter().rev().take(4);
            let after: Vec<_> = positions.map(|(segment, number)| format!("{segment}.{number}")).collect();
            query += &format!("&resume={resume}&after={}", after.join(","));
        }
        let mut socket = open(node, &query).await?;
        let welcome = next(&mut socket).await?;
        let text = |field: &str| welcome[field].as_str().map(str::to_owned);
        let (segment, resumed) = (text("segment")?, text("resumed")?);
        match (resumed.as_str(), &self.resume) {
            ("none", None) => {}
            ("complete" | "pending", Some(_)) => self.seen.resumed += 1,
            ("partial", Some(_)) if self.storm.ends.are_kills() => {
                self.seen.resumed += 1;
                self.seen.partial += 1;
            }
            _ => self.seen.complaints.push(welcome.to_string()),
        }
        self.resume = text("resume");
        self.positions.insert(segment.clone(), 0);
        if resumed == "pending" {
            self.pending = self.welcomed.len();
        }
        self.welcomed.push(segment);
        Some(socket)
    }

    async fn read(&mut self, socket: &mut Socket) -> End {
        let breaks = Instant::now() + Duration::from_millis(100 + self.draw(2_500));
        loop {
            let over = self.storm.over.load(Ordering::SeqCst);
            let due = Instant::now() + Duration::from_millis(10);
            match timeout_at(due, next(socket)).await {
                Ok(Some(frame)) => self.take(&frame),
                Ok(None) => return End::Broken,
                Err(_) => {}
            }
            if self.unacked.values().sum::<u64>() >= 16 || Instant::now() >= due {
                for segment in std::mem::take(&mut self.unacked).into_keys() {
                    let number = self.positions.get(&segment).copied().unwrap_or(0);
                    let ack = json!({ "type": "ack", "n": number, "segment": segment });
                    if socket.send(Message::text(ack.to_string())).await.is_err() {
                        return End::Broken;
                    }
                }
            }
            if over && self.heard.elapsed() > SILENCE {
                return End::Done;
            }
            if !over && Instant::now() >= breaks {
                return End::Broken;
            }
        }
    }

    fn take(&mut self, frame: &Value) {
        self.heard = Instant::now();
        let current = self.welcomed.last().map(String::as_str);
        let Some(segment) = frame["segment"].as_str().or(current).map(str::to_owned) else { return };
        match frame["type"].as_str() {
            Some("message") => {
                let (number, id) = (frame["n"].as_u64(), frame["id"].as_str().unwrap_or_default().to_owned());
                let last = self.positions.entry(segment.clone()).or_insert(0);
                *self.unacked.entry(segment.clone()).or_insert(0) += 1;
                match number {
                    Some(number) if number <= *last => return,
                    Some(number) if number == *last + 1 => *last = number,
                    _ => self.seen.complaints.push(format!("after {last}: {frame}")),
                }
                if self.recent.contains(&id) {
                    return;
                }
                let (lane, number) = id.split_once('-').unwrap_or_default();
                if let Some((lane, number)) = lane.parse().ok().zip(number.parse().ok()) {
                    let late = self.is_late(&segment);
                    self.seen.arrivals.push(Arrival { lane, number, segment, late });
                }
                self.recent.push_back(id);
                if self.recent.len() > 1_024 {
                    self.recent.pop_front();
                }
            }
            Some("gap") => {
                // Only of what it has acknowledged, and does not remember.
                let last = self.positions.entry(segment).or_insert(0);
                *last = (*last).max(frame["to"].as_u64().unwrap_or(0));
                if frame["why"] != "acknowledged" {
                    self.seen.complaints.push(frame.to_string());
                }
            }
            Some("closed") => drop(self.positions.remove(&segment)),
            Some("resumed") if frame["resumed"] == "complete" => {}
            Some("resumed") if self.storm.ends.are_kills() => self.seen.partial += 1,
            _ => self.seen.complaints.push(frame.to_string()),
        }
    }

    /// Whether a message of that segment comes behind one of a later segment. Where all nodes stop in good order a client is told that
    /// it has to expect that, unless it never heard of the segment.
    fn is_late(&mut self, segment: &str) -> bool {
        let age = self.welcomed.iter().rposition(|welcomed| welcomed == segment);
        let late = age < self.newest;
        let unsaid = late && age.is_some_and(|age| age >= self.pending);
        if unsaid && !self.storm.ends.are_kills() {
            self.seen
                .complaints
                .push(format!("{segment} is late, and was not said to be: {:?}", self.welcomed));
        }
        self.newest = self.newest.max(age);
        late
    }

    /// A number below `max`. Source: the generator of Numerical Recipes.
    fn draw(&mut self, max: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % max
    }
}

async fn open(node: SocketAddr, query: &str) -> Option<Socket> {
    let stream = TcpStream::connect(node).await.ok()?;
    let mut request = format!("ws://{node}/v1/ws?{query}").into_client_request().ok()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("pushmesh.v1"));
    client_async(request, stream).await.ok().map(|(socket, _)| socket)
}

/// The next frame that is text; nothing if the connection is over.
async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// How long a connect may take before another node is tried.
const CONNECT: Duration = Duration::from_secs(5);
/// Nothing has come for so long: all has arrived.
const SILENCE: Duration = Duration::from_secs(4);
