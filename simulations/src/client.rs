//! The host of all clients: one task for each connection. A host for each client would cost more
//! time than everything else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use turmoil::net::TcpStream;

use crate::client::envelope::SUBPROTOCOL;
use crate::client::line::{Keeper, Line, Speaks};
use crate::client::manner::Manner;
use crate::client::memory::{Memory, Said};
use crate::entropy;
use crate::event::Event;
use crate::event::kept::{Kept, Shows};
use crate::host::client_url;
use crate::id::{ClientIndex, ConnectionId, node_name};
use crate::settings::Settings;
use crate::wire::HTTP_PORT;
use crate::world::World;

pub(crate) mod envelope;
mod line;
mod manner;
mod memory;
mod order;

pub(crate) use order::{Dial, Order};

/// All clients of a run.
pub(crate) struct Clients {
    world: Arc<World>,
    settings: Settings,
    dials: mpsc::Sender<Dial>,
    inbox: Mutex<Option<mpsc::Receiver<Dial>>>,
    orders: Mutex<BTreeMap<ConnectionId, mpsc::Sender<Order>>>,
    /// What clients of `pushmesh.v1` come back with.
    memories: Mutex<BTreeMap<ClientIndex, Arc<Mutex<Memory>>>>,
}

impl Clients {
    /// Nobody is connected.
    pub(crate) fn new(world: Arc<World>, settings: Settings) -> Arc<Self> {
        let (dials, inbox) = mpsc::channel(DIALS_MAX);
        let (orders, memories) = Default::default();
        Arc::new(Self { world, settings, dials, inbox: Mutex::new(Some(inbox)), orders, memories })
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
        let memory = self.memory(client);
        let manner = self.manner(dial);
        let keep_s = self.settings.keep_s(client);
        let said = self.says(client, &memory, &manner);
        let resumed = said.token.as_ref().map(|(stamp, _)| *stamp);
        self.world.tell(Event::Dialled { connection, client, node, resumed });
        if keep_s > 0 {
            let what = Kept::Shown { after: said.after.clone(), shows: manner.shows };
            self.world.tell(Event::Kept { connection, what });
        }
        let mut query = query(keep_s, &said);
        let speaks = self.settings.speaks_envelopes(client);
        if speaks {
            query.push_str("&errors=status"); // So that a client that is not let in has never had a connection.
        }
        let mut opening = std::pin::pin!(timeout(OPEN_TIMEOUT, open(dial, &query, speaks)));
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
                let speaks = match (speaks, keep_s) {
                    (false, _) => Speaks::Plain,
                    (true, 0) => Speaks::Envelopes(&memory),
                    (true, _) => Speaks::Kept(Keeper::new(&memory, manner)),
                };
                let (world, settings) = (&*self.world, &self.settings);
                let line = Line { world, settings, connection, socket, speaks, code: None, quiet_max: None };
                let end = line.read(orders).await;
                self.world.tell(Event::Ended { connection, end });
            }
            Err(why) => self.world.tell(Event::Refused { connection, client, node, why }),
        }
    }

    fn memory(&self, client: ClientIndex) -> Arc<Mutex<Memory>> {
        Arc::clone(self.memories.lock().expect(NOT_POISONED).entry(client).or_default())
    }

    /// What a client does on a connection. When the faults are over all do what they should.
    fn manner(&self, dial: Dial) -> Manner {
        let label = format!("manner of connection {}", dial.connection);
        let drawn = self.settings.keeping.as_ref().filter(|_| !self.world.is_healed());
        drawn.map_or_else(Manner::careful, |keeping| {
            Manner::draw(&mut entropy::stream(self.world.seed(), &label), keeping)
        })
    }

    /// What a client says when it dials.
    fn says(&self, client: ClientIndex, memory: &Mutex<Memory>, manner: &Manner) -> Said {
        let mut memory = memory.lock().expect(NOT_POISONED);
        if self.settings.keep_s(client) > 0 {
            return memory.says(manner.shows);
        }
        let said = memory.says(Shows::All);
        // A client whose attempt failed makes the next one without its token.
        memory.forgets_token();
        said
    }
}

/// What is added to the address for that: the resume token and, of a session that is to be kept, for how long and from where.
fn query(keep_s: u32, said: &Said) -> String {
    let mut query = said.token.as_ref().map(|(_, token)| format!("&resume={token}")).unwrap_or_default();
    if keep_s > 0 {
        let after: Vec<_> = said.after.iter().map(ToString::to_string).collect();
        let after = if after.is_empty() { String::new() } else { format!("&after={}", after.join(",")) };
        query.push_str(&format!("&keep={keep_s}{after}"));
    }
    query
}

async fn open(dial: Dial, query: &str, speaks_envelopes: bool) -> Result<WebSocketStream<TcpStream>, String> {
    let Dial { connection, client, node } = dial;
    let stream = TcpStream::connect((node_name(node), HTTP_PORT)).await.map_err(|error| error.to_string())?;
    let request = client_url(connection, client, node, query).into_client_request();
    let mut request = request.map_err(|error| error.to_string())?;
    if speaks_envelopes {
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
/// Dials waiting to be begun: far more than a plan has in one millisecond.
const DIALS_MAX: usize = 4_096;
/// Orders waiting at one connection: one that it goes on after, and one that ends it.
const ORDERS_MAX: usize = 2;
const NOT_POISONED: &str = "no panic happens under this lock";
