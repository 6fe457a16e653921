//! The host of all clients: one task for each connection. A host for each client would cost more
//! time than everything else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use turmoil::net::TcpStream;

use crate::event::{ClientIndex, ConnectionId, End, Event, NodeIndex, node_name};
use crate::host::client_url;
use crate::world::{HTTP_PORT, World};

/// What a client does with its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Close it in good order.
    Close,
    /// Let go of the socket.
    Drop,
    /// Notice that the node is gone.
    Reset,
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
    dials: mpsc::Sender<Dial>,
    inbox: Mutex<Option<mpsc::Receiver<Dial>>>,
    orders: Mutex<BTreeMap<ConnectionId, mpsc::Sender<Order>>>,
}

impl Clients {
    /// Nobody is connected.
    pub(crate) fn new(world: Arc<World>) -> Arc<Self> {
        let (dials, inbox) = mpsc::channel(DIALS_MAX);
        Arc::new(Self { world, dials, inbox: Mutex::new(Some(inbox)), orders: Mutex::default() })
    }

    /// Begins to connect.
    pub(crate) fn dial(&self, dial: Dial) {
        let Dial { connection, client, node } = dial;
        self.world.tell(Event::Dialled { connection, client, node });
        self.dials.try_send(dial).expect("a plan has fewer dials in one millisecond");
    }

    /// Tells a connection what to do, if it is not over.
    pub(crate) fn order(&self, connection: ConnectionId, order: Order) {
        if let Some(orders) = self.orders.lock().expect(NOT_POISONED).get(&connection) {
            // One that has orders already is about to end.
            let _ = orders.try_send(order);
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
            let (sender, orders) = mpsc::channel(1);
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
        let opened = tokio::select! {
            biased;
            order = orders.recv() => Err(format!("given up: {order:?}")),
            opened = timeout(OPEN_TIMEOUT, open(client, node)) => {
                opened.unwrap_or_else(|_| Err("no answer".to_owned()))
            }
        };
        match opened {
            Ok(socket) => {
                self.world.tell(Event::Opened { connection, client, node });
                let end = self.read(connection, socket, orders).await;
                self.world.tell(Event::Ended { connection, end });
            }
            Err(why) => self.world.tell(Event::Refused { connection, client, node, why }),
        }
    }

    /// Reads until the connection is over. Orders come first, so that their moment is the plan's.
    async fn read(
        &self,
        connection: ConnectionId,
        mut socket: WebSocketStream<TcpStream>,
        mut orders: mpsc::Receiver<Order>,
    ) -> End {
        let mut code = None;
        loop {
            let frame = tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Close) => {
                        // A socket that is broken says so when it is read next.
                        let _ = socket.close(None).await;
                        continue;
                    }
                    Some(Order::Reset) => return End::Reset,
                    Some(Order::Drop) | None => return End::Dropped,
                },
                frame = socket.next() => frame,
            };
            match frame {
                Some(Ok(Message::Text(text))) => {
                    self.world.tell(Event::Got { connection, text: text.as_str().to_owned() });
                }
                Some(Ok(Message::Close(frame))) => code = frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                None | Some(Err(tungstenite::Error::ConnectionClosed)) => return End::Closed(code),
                Some(Err(error)) => return End::Broken(error.to_string()),
            }
        }
    }
}

async fn open(client: ClientIndex, node: NodeIndex) -> Result<WebSocketStream<TcpStream>, String> {
    let stream = TcpStream::connect((node_name(node), HTTP_PORT)).await.map_err(|error| error.to_string())?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let opened = client_async_with_config(client_url(client, node), stream, Some(config)).await;
    Ok(opened.map_err(|error| error.to_string())?.0)
}

/// How long a client waits to be let in. Guess: longer than a takeover.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// Room for what is read at once. Source: the library clears all of it at every read, and its own
/// 128 KiB took 6 % of a run.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// Dials waiting to be begun: far more than a plan has in one millisecond.
const DIALS_MAX: usize = 4_096;
const NOT_POISONED: &str = "no panic happens under this lock";
