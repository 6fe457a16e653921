//! What the clients want, and what they do when they do not have it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;

use crate::client::{Clients, Dial, Order};
use crate::event::{Connected, End, Event};
use crate::id::{ClientIndex, ConnectionId, NodeIndex};
use crate::plan::Blunder;

/// All clients of a run, from the side of their wishes.
pub(crate) struct Population {
    clients: Arc<Clients>,
    rng: StdRng,
    /// Where clients come back to.
    nodes: Vec<NodeIndex>,
    /// Whether sessions of a user exclude each other.
    exclusive: bool,
    next: ConnectionId,
    /// Messages that clients have sent.
    said: u64,
    /// Those that want to be connected.
    wishing: BTreeSet<ClientIndex>,
    dialling: BTreeMap<ConnectionId, (ClientIndex, NodeIndex)>,
    open: BTreeMap<ConnectionId, (ClientIndex, NodeIndex)>,
    /// Those of them whose client does not read.
    stalled: BTreeSet<ConnectionId>,
    /// Nodes that have crashed and do not run.
    crashed: BTreeSet<NodeIndex>,
    /// What clients will do, by time.
    due: BTreeMap<u64, Vec<Due>>,
}

#[derive(Debug, Clone, Copy)]
enum Due {
    Reconnect(ClientIndex),
    Reset(ConnectionId),
}

impl Population {
    /// Nobody wants anything.
    pub(crate) fn new(clients: Arc<Clients>, rng: StdRng, nodes: usize, exclusive: bool) -> Self {
        let nodes = (0..nodes).collect();
        let (wishing, dialling, open, stalled, crashed, due) = Default::default();
        Self {
            clients,
            rng,
            nodes,
            exclusive,
            next: 0,
            said: 0,
            wishing,
            dialling,
            open,
            stalled,
            crashed,
            due,
        }
    }

    /// From now on clients come back to these nodes, as if something in front of the nodes knew the others.
    pub(crate) fn come_back_to(&mut self, nodes: Vec<NodeIndex>) {
        self.nodes = nodes;
    }

    /// A client wants a connection to that node, also if it has one.
    pub(crate) fn connect(&mut self, client: ClientIndex, node: NodeIndex) {
        self.wishing.insert(client);
        let connection = self.next;
        self.next += 1;
        self.dialling.insert(connection, (client, node));
        self.clients.dial(Dial { connection, client, node });
    }

    /// A client does not want to be connected any more.
    pub(crate) fn leave(&mut self, client: ClientIndex, politely: bool) {
        self.wishing.remove(&client);
        self.order(client, if politely { Order::Close } else { Order::Drop });
    }

    /// The sockets of a client break.
    pub(crate) fn drop_all(&mut self, client: ClientIndex) {
        self.order(client, Order::Drop);
    }

    /// A client neither reads nor answers for a while.
    pub(crate) fn stall(&mut self, client: ClientIndex, for_ms: u64) {
        self.order(client, Order::Stall(for_ms));
    }

    /// A client sends a message on each of its connections.
    pub(crate) fn say(&mut self, client: ClientIndex) {
        self.said += 1;
        self.order(client, Order::Say(format!("s{}", self.said)));
    }

    /// A client sends what no node takes on each of its connections.
    pub(crate) fn blunder(&mut self, client: ClientIndex, blunder: Blunder) {
        self.order(client, Order::Blunder(blunder));
    }

    fn order(&self, client: ClientIndex, order: Order) {
        for (connection, (of, _)) in self.open.iter().chain(&self.dialling) {
            if *of == client {
                self.clients.order(*connection, order.clone());
            }
        }
    }

    /// Whether a client takes an end as the wish of somebody else that it stays away.
    fn gives_up(&mut self, client: ClientIndex, end: &End) -> bool {
        match end {
            // Another device of the user took its place: two clients that come back would fight. One
            // that has moved itself has its newer connection.
            End::Closed(Some(SUPERSEDED)) => self.exclusive && !self.has_any(client),
            // It would ask its backend, which says yes to half of them.
            End::Closed(Some(KICKED)) => self.rng.random_bool(0.5),
            _ => false,
        }
    }

    /// Follows what happened.
    pub(crate) fn event(&mut self, now_ms: u64, event: &Event) {
        match event {
            Event::Opened { connection, client, node } => {
                self.dialling.remove(connection);
                self.open.insert(*connection, (*client, *node));
                if !self.wishing.contains(client) {
                    self.clients.order(*connection, Order::Close);
                }
                // The answer that lets it in crossed the end of its node.
                if self.crashed.contains(node) {
                    self.notice(now_ms, *connection);
                }
            }
            Event::Refused { connection, client, .. } => {
                self.dialling.remove(connection);
                self.miss(now_ms, *client);
            }
            Event::Stalled { connection, .. } => _ = self.stalled.insert(*connection),
            Event::Resumed { connection } => _ = self.stalled.remove(connection),
            Event::Ended { connection, end } => {
                if let Some((client, _)) = self.open.remove(connection) {
                    if self.gives_up(client, end) {
                        self.leave(client, true);
                    }
                    self.miss(now_ms, client);
                }
            }
            Event::Crashed { node } => {
                let lost: Vec<_> =
                    self.open.iter().filter(|(_, (_, at))| at == node).map(|(id, _)| *id).collect();
                lost.into_iter().for_each(|connection| self.notice(now_ms, connection));
                self.crashed.insert(*node);
            }
            Event::Booted { node, .. } => _ = self.crashed.remove(node),
            _ => {}
        }
    }

    /// A client will notice that its node is gone.
    fn notice(&mut self, now_ms: u64, connection: ConnectionId) {
        let at = now_ms + self.rng.random_range(1..NOTICE_MS_MAX);
        self.due.entry(at).or_default().push(Due::Reset(connection));
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        while let Some((at, _)) = self.due.first_key_value().filter(|(at, _)| **at <= now_ms) {
            let at = *at;
            for due in self.due.remove(&at).unwrap_or_default() {
                match due {
                    Due::Reconnect(client) if self.wishing.contains(&client) && !self.has_any(client) => {
                        let node = self.nodes[self.rng.random_range(0..self.nodes.len())];
                        self.connect(client, node);
                    }
                    Due::Reconnect(_) => {}
                    Due::Reset(connection) => self.clients.order(connection, Order::Reset),
                }
            }
        }
    }

    /// The open connections of the clients.
    pub(crate) fn connected(&self) -> Connected {
        let mut connected = Connected::new();
        for (connection, (client, node)) in &self.open {
            connected.entry(*client).or_default().insert(*connection, *node);
        }
        connected
    }

    /// The clients with exactly one open connection, with its node.
    pub(crate) fn connected_once(&self) -> Vec<(ClientIndex, NodeIndex)> {
        let single = |(client, open): (ClientIndex, BTreeMap<_, NodeIndex>)| match open.len() {
            1 => open.into_values().next().map(|node| (client, node)),
            _ => None,
        };
        self.connected().into_iter().filter_map(single).collect()
    }

    /// Whether everybody who wants a connection has one and reads from it, and nobody else.
    ///
    /// # Errors
    /// Who does not.
    pub(crate) fn content(&self) -> Result<(), String> {
        if let Some(connection) = self.stalled.first() {
            return Err(format!("connection {connection} is not read"));
        }
        let connected: BTreeSet<_> = self.open.values().map(|(client, _)| *client).collect();
        match connected.symmetric_difference(&self.wishing).next() {
            Some(client) if self.wishing.contains(client) => {
                Err(format!("client {client} is not connected yet"))
            }
            Some(client) => Err(format!("client {client} is still connected")),
            None => Ok(()),
        }
    }

    fn miss(&mut self, now_ms: u64, client: ClientIndex) {
        if self.wishing.contains(&client) && !self.has_any(client) {
            let at = now_ms + self.rng.random_range(1..RECONNECT_MS_MAX);
            self.due.entry(at).or_default().push(Due::Reconnect(client));
        }
    }

    fn has_any(&self, client: ClientIndex) -> bool {
        self.open.values().chain(self.dialling.values()).any(|(of, _)| *of == client)
    }
}

/// The close code of a session whose place was taken, and of one that a backend disconnected: section
/// 3.5 of docs/PROTOCOL.md.
const SUPERSEDED: u16 = 4001;
const KICKED: u16 = 4002;
/// The longest that a client waits before it comes back, in milliseconds. Guess.
const RECONNECT_MS_MAX: u64 = 2_000;
/// The longest until a client notices that its node is gone, in milliseconds. Guess: a person who
/// sees nothing happen.
const NOTICE_MS_MAX: u64 = 3_000;
