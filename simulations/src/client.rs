//! The host of all clients: one task for each connection. A host for each client would cost more
//! time than everything else.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use pushmesh::internals::schema::Envelope;
use pushmesh::limits;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use turmoil::net::TcpStream;

use crate::client::envelope::SUBPROTOCOL;
use crate::event::{End, Event, Welcome};
use crate::host::client_url;
use crate::id::{ClientIndex, ConnectionId, NodeIndex, node_name};
use crate::plan::Blunder;
use crate::settings::Settings;
use crate::wire::HTTP_PORT;
use crate::world::World;

pub(crate) mod envelope;

/// What a client does with its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Close it in good order.
    Close,
    /// Let go of the socket.
    Drop,
    /// Notice that the node is gone.
    Reset,
    /// Neither read nor answer for so many milliseconds.
    Stall(u64),
    /// Send a message.
    Say(String),
    /// Send what no node takes.
    Blunder(Blunder),
}

/// A connection to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dial {
    /// Its number.
    pub(crate) connection: ConnectionId,
    /// Whose it is.
    pub(crate) client: ClientIndex,
    /// To which node.
    pub(crate) node: NodeIndex,
}

/// All clients of a run.
pub(crate) struct Clients {
    world: Arc<World>,
    settings: Settings,
    dials: mpsc::Sender<Dial>,
    inbox: Mutex<Option<mpsc::Receiver<Dial>>>,
    orders: Mutex<BTreeMap<ConnectionId, mpsc::Sender<Order>>>,
    /// What clients of `pushmesh.v1` come back with: the stamp of their last session and its token.
    tokens: Mutex<BTreeMap<ClientIndex, (u64, String)>>,
}

impl Clients {
    /// Nobody is connected.
    pub(crate) fn new(world: Arc<World>, settings: Settings) -> Arc<Self> {
        let (dials, inbox) = mpsc::channel(DIALS_MAX);
        let (orders, tokens) = Default::default();
        Arc::new(Self { world, settings, dials, inbox: Mutex::new(Some(inbox)), orders, tokens })
    }

    /// Begins to connect.
    pub(crate) fn dial(&self, dial: Dial) {
        self.dials.try_send(dial).expect("a plan has fewer dials in one millisecond");
    }

    /// Tells a connection what to do, if it is not over.
    pub(crate) fn order(&self, connection: ConnectionId, order: Order) {
        if let Some(orders) = self.orders.lock().expect(NOT_POISONED).get(&connection) {
            let ends = !matches!(order, Order::Stall(_) | Order::Say(_) | Order::Blunder(_));
            if ends || orders.capacity() == ORDERS_MAX {
                // One that has so many orders already is about to end.
                let _ = orders.try_send(order);
            }
        }
    }

    /// Runs the host.
    ///
    /// # Errors
    /// None; the signature is turmoil's.
    pub(crate) async fn run(self: Arc<Self>) -> turmoil::Result {
        let inbox = self.inbox.lock().expect(NOT_POISONED).take();
        let mut inbox = inbox.expect("the host of the clients is never restarted");
        while let Some(dial) = inbox.recv().await {
            let (sender, orders) = mpsc::channel(ORDERS_MAX);
            self.orders.lock().expect(NOT_POISONED).insert(dial.connection, sender);
            let clients = Arc::clone(&self);
            tokio::task::spawn_local(async move {
                clients.connect(dial, orders).await;
                clients.orders.lock().expect(NOT_POISONED).remove(&dial.connection);
            });
        }
        Ok(())
    }

    async fn connect(&self, dial: Dial, mut orders: mpsc::Receiver<Order>) {
        let Dial { connection, client, node } = dial;
        let token = match Habit::of(client) {
            Habit::Plain => None,
            // A client whose attempt failed makes the next one without its token.
            Habit::Envelope => self.tokens.lock().expect(NOT_POISONED).remove(&client),
        };
        let resumed = token.as_ref().map(|(stamp, _)| *stamp);
        self.world.tell(Event::Dialled { connection, client, node, resumed });
        let resume = token.as_ref().map(|(_, token)| token.as_str());
        let mut opening = std::pin::pin!(timeout(OPEN_TIMEOUT, open(dial, resume)));
        let opened = loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    // There is nothing to do it with.
                    Some(Order::Stall(_) | Order::Say(_) | Order::Blunder(_)) => {}
                    order => break Err(format!("given up: {order:?}")),
                },
                opened = &mut opening => break opened.unwrap_or_else(|_| Err("no answer".to_owned())),
            }
        };
        match opened {
            Ok(socket) => {
                self.world.tell(Event::Opened { connection, client, node });
                let end =
                    Reader { clients: self, dial, socket, code: None, quiet_max: None }.read(orders).await;
                self.world.tell(Event::Ended { connection, end });
            }
            Err(why) => self.world.tell(Event::Refused { connection, client, node, why }),
        }
    }
}

/// A connection that is open.
struct Reader<'a> {
    clients: &'a Clients,
    dial: Dial,
    socket: WebSocketStream<TcpStream>,
    /// That of the close frame.
    code: Option<u16>,
    /// After so long without a frame the client takes the connection for broken.
    quiet_max: Option<Duration>,
}

impl Reader<'_> {
    /// Reads until the connection is over. Orders come first, so that their moment is the plan's.
    async fn read(mut self, mut orders: mpsc::Receiver<Order>) -> End {
        loop {
            let quiet = self.quiet_max.map(|quiet| Instant::now() + quiet);
            let frame = tokio::select! {
                biased;
                order = orders.recv() => match self.obey(order, &mut orders).await {
                    Some(end) => return end,
                    None => continue,
                },
                frame = self.socket.next() => frame,
                () = sleep_until(quiet.unwrap_or_else(Instant::now)), if quiet.is_some() => {
                    return End::Broken("the node is silent".to_owned());
                }
            };
            match frame {
                Some(Ok(Message::Text(text))) => self.got(text.as_str()).await,
                Some(Ok(Message::Close(frame))) => self.code = frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                None | Some(Err(tungstenite::Error::ConnectionClosed)) => return End::Closed(self.code),
                Some(Err(error)) => return End::Broken(error.to_string()),
            }
        }
    }

    /// Does what it is told. Returns the end, if that is one.
    async fn obey(&mut self, order: Option<Order>, orders: &mut mpsc::Receiver<Order>) -> Option<End> {
        let connection = self.dial.connection;
        match order {
            Some(Order::Close) => {
                self.clients.world.tell(Event::Closing { connection });
                // A socket that is broken says so when it is read next.
                let _ = timeout(SEND_TIMEOUT, self.socket.close(None)).await;
                None
            }
            Some(Order::Reset) => Some(End::Reset),
            Some(Order::Drop) | None => Some(End::Dropped),
            Some(Order::Say(text)) => {
                // Unique, and it tells its connection.
                let text = format!("{text}-{connection}");
                let frame = match Habit::of(self.dial.client) {
                    Habit::Plain => text.clone(),
                    Habit::Envelope => envelope::message(&text),
                };
                // What does not even get into its own buffer was not said.
                if self.has_room().await {
                    self.clients.world.tell(Event::Said { connection, text });
                    self.send(Message::text(frame)).await;
                }
                None
            }
            Some(Order::Blunder(blunder)) => {
                self.clients.world.tell(Event::Blundered { connection });
                let not_text = || Message::Frame(Frame::message(vec![0xff], OpCode::Data(Data::Text), true));
                let frames = match (blunder, Habit::of(self.dial.client)) {
                    (Blunder::TooBig, _) => {
                        vec![Message::text("x".repeat(limits::CLIENT_MESSAGE_BYTES_MAX + 1))]
                    }
                    (Blunder::Nonsense, Habit::Envelope) => vec![Message::text("{"); NONSENSE_FRAMES],
                    (Blunder::NotText, _) | (Blunder::Nonsense, Habit::Plain) => vec![not_text()],
                };
                for frame in frames {
                    self.send(frame).await;
                }
                None
            }
            Some(Order::Stall(for_ms)) => {
                self.clients.world.tell(Event::Stalled { connection, for_ms });
                let until = Instant::now() + Duration::from_millis(for_ms);
                let end = loop {
                    tokio::select! {
                        biased;
                        order = orders.recv() => match order {
                            Some(Order::Stall(_) | Order::Say(_) | Order::Blunder(_)) => {}
                            Some(Order::Reset) => break Some(End::Reset),
                            Some(Order::Close | Order::Drop) | None => {
                                self.clients.world.reset(connection);
                                break Some(End::Dropped);
                            }
                        },
                        () = sleep_until(until) => break None,
                    }
                };
                // Turmoil forgets the end of a connection that meets a full window.
                let settings = &self.clients.settings;
                self.quiet_max = settings.is_watchful().then_some(settings.heartbeat_timeout);
                self.clients.world.tell(Event::Resumed { connection });
                end
            }
        }
    }

    async fn got(&mut self, text: &str) {
        let connection = self.dial.connection;
        let world = &self.clients.world;
        if Habit::of(self.dial.client) == Habit::Plain {
            world.tell(Event::Got { connection, text: text.to_owned() });
            return;
        }
        let told = |kind: &str, id: Option<String>, data: Option<String>| {
            world.tell(Event::Enveloped { connection, kind: kind.to_owned(), id, data });
        };
        match envelope::read(text) {
            Some(Envelope::Welcome { user, device, node, session, resume: Some(resume), .. }) => {
                let [user, device, node] = [user.to_string(), device.to_string(), node.to_string()];
                let welcome = Welcome { user, device, node, session };
                world.tell(Event::Welcomed { connection, welcome });
                let mut tokens = self.clients.tokens.lock().expect(NOT_POISONED);
                tokens.insert(self.dial.client, (session, resume.into_owned()));
            }
            Some(Envelope::Message { id, data: Some(text), base64: None, .. }) => {
                let text = text.into_owned();
                told("message", Some(id.to_string()), Some(text.clone()));
                world.tell(Event::Got { connection, text });
                self.send(Message::text(envelope::ack(id.into_owned()))).await;
            }
            Some(Envelope::Error { code, .. }) => told("error", Some(code.into_owned()), None),
            // Clients do nothing that has another answer.
            _ => told(text, None, None),
        }
    }

    /// Whether a frame that is sent now is sent sooner or later, if the connection lasts.
    async fn has_room(&mut self) -> bool {
        let ready = poll_fn(|cx| self.socket.poll_ready_unpin(cx));
        timeout(SEND_TIMEOUT, ready).await.is_ok_and(|ready| ready.is_ok())
    }

    /// Sends a frame; a client that cannot at once leaves it.
    async fn send(&mut self, frame: Message) {
        // A socket that is broken says so when it is read next.
        let _ = timeout(SEND_TIMEOUT, self.socket.send(frame)).await;
    }
}

/// Which protocol a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Payloads as they are.
    Plain,
    /// `pushmesh.v1`: it acknowledges, and comes back with its resume token.
    Envelope,
}

impl Habit {
    /// The protocol of a client: two of five speak `pushmesh.v1`. Five and three have no common
    /// divisor, so that all mixtures are among the users.
    pub(crate) fn of(client: ClientIndex) -> Self {
        if client % 5 < 2 { Habit::Envelope } else { Habit::Plain }
    }
}

async fn open(dial: Dial, resume: Option<&str>) -> Result<WebSocketStream<TcpStream>, String> {
    let Dial { connection, client, node } = dial;
    let stream = TcpStream::connect((node_name(node), HTTP_PORT)).await.map_err(|error| error.to_string())?;
    let request = client_url(connection, client, node, resume).into_client_request();
    let mut request = request.map_err(|error| error.to_string())?;
    if Habit::of(client) == Habit::Envelope {
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    }
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let opened = client_async_with_config(request, stream, Some(config)).await;
    Ok(opened.map_err(|error| error.to_string())?.0)
}

/// How long a client waits to be let in. Guess: longer than a takeover.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// Room for what is read at once. Source: the library clears all of it at every read, and its own
/// 128 KiB took 6 % of a run.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// How long a client tries to send a frame. Source: the sockets of a run take it at once or, with a
/// full window, not at all.
const SEND_TIMEOUT: Duration = Duration::from_millis(1);
/// Frames that are no envelopes, sent in a row. Source: one more than a node bears.
const NONSENSE_FRAMES: usize = 9;
/// Dials waiting to be begun: far more than a plan has in one millisecond.
const DIALS_MAX: usize = 4_096;
/// Orders waiting at one connection: one that it goes on after, and one that ends it.
const ORDERS_MAX: usize = 2;
const NOT_POISONED: &str = "no panic happens under this lock";
