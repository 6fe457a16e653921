//! A host that runs one shipped node, and its backend: pushes enter through the node's own API.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::{fs, io};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pushmesh::internals::{Observer, Replica};
use pushmesh::wire::Wire;
use pushmesh::{
    Config, DeviceId, Handler, Node, NodeHandle, NodeName, Outcome, Payload, PushReport, SessionInfo,
    SessionKey, Target, UserId, async_trait,
};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep};

use crate::aim::Aim;
use crate::answer::Answer;
use crate::ask::payload;
use crate::event::{Event, Way};
use crate::id::{
    ClientIndex, ConnectionId, NodeIndex, PushId, client_of, device_name, node_name, node_of, replaced_name,
    user_name, user_of,
};
use crate::line::CONNECTION;
use crate::settings::Settings;
use crate::wire::{self, Face, HTTP_PORT, MESH_PORT};
use crate::world::World;

/// What the driver tells a node that runs.
#[derive(Debug)]
pub(crate) enum Command {
    /// A backend pushes. The clients named are those that are connected, with their nodes.
    Push { push: PushId, aim: Aim, connected: Vec<(ClientIndex, NodeIndex)> },
    /// Stop in good order.
    Stop,
}

/// A boot of a node, as the driver and the observers see it.
#[derive(Clone)]
pub(crate) struct Boot {
    /// Its incarnation.
    pub(crate) incarnation: u64,
    /// Its copy of the directory.
    pub(crate) replica: Arc<Replica>,
    /// Looks into it.
    pub(crate) observer: Observer,
    /// Takes commands.
    pub(crate) commands: mpsc::Sender<Command>,
}

/// The nodes of a run.
pub(crate) struct Hosts {
    world: Arc<World>,
    settings: Settings,
    /// Holds a folder for each node, if nodes have disks.
    disks: Option<TempDir>,
    /// How often each node was replaced by one with another name.
    replaced: Mutex<Vec<usize>>,
    /// How many boots there were.
    begun: AtomicUsize,
    boots: Mutex<Vec<Option<Boot>>>,
}

impl Hosts {
    /// No node runs yet.
    ///
    /// # Errors
    /// There is no place for disks.
    pub(crate) fn new(world: Arc<World>, nodes: usize, settings: Settings) -> io::Result<Arc<Self>> {
        let (boots, replaced) = (Mutex::new(vec![None; nodes]), Mutex::new(vec![0; nodes]));
        let disks = settings.disks.then(TempDir::new).transpose()?;
        Ok(Arc::new(Self { world, settings, disks, replaced, begun: AtomicUsize::new(0), boots }))
    }

    /// A node that does not run comes back with an empty disk. Returns whether there was anything on it.
    ///
    /// # Errors
    /// Those of the real disk.
    pub(crate) fn wipe(&self, node: NodeIndex) -> io::Result<bool> {
        let disk = self.disk(node).filter(|disk| disk.exists());
        disk.as_ref().map(fs::remove_dir_all).transpose().map(|removed| removed.is_some())
    }

    /// A node that does not run comes back with another name.
    pub(crate) fn replace(&self, node: NodeIndex) {
        self.replaced.lock().expect(NOT_POISONED)[node] += 1;
    }

    fn name(&self, node: NodeIndex) -> String {
        replaced_name(node, self.replaced.lock().expect(NOT_POISONED)[node])
    }

    fn disk(&self, node: NodeIndex) -> Option<PathBuf> {
        self.disks.as_ref().map(|disks| disks.path().join(self.name(node)))
    }

    /// The boots of all nodes; `None` for a node that does not run.
    pub(crate) fn boots(&self) -> Vec<Option<Boot>> {
        self.boots.lock().expect(NOT_POISONED).clone()
    }

    /// Forgets the boot of a node that does not run any more.
    pub(crate) fn gone(&self, node: NodeIndex) {
        self.boots.lock().expect(NOT_POISONED)[node] = None;
    }

    /// Runs a node until it is told to stop.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn run(self: Arc<Self>, index: NodeIndex) -> turmoil::Result {
        let mut wire = wire::wire(&self.world, &node_name(index)).await?;
        let mut config = self.config(index)?;
        loop {
            let application = Application { world: Arc::clone(&self.world), node: index };
            let node = Node::start_with(config, wire, Arc::new(application)).await?;
            let (commands, mut inbox) = mpsc::channel(COMMANDS_MAX);
            let incarnation = node.incarnation().0;
            let replica = Arc::clone(node.replica());
            let observer = node.observer();
            self.boots.lock().expect(NOT_POISONED)[index] =
                Some(Boot { incarnation, replica, observer, commands });
            self.world.tell(Event::Booted { node: index, incarnation });
            let again = self.serve(index, &node, &mut inbox).await;
            node.shutdown().await;
            self.gone(index);
            let mut late = std::iter::from_fn(|| inbox.try_recv().ok());
            let is_to_stop = late.any(|command| matches!(command, Command::Stop));
            let Some(next) = again.filter(|_| !is_to_stop) else { break };
            // Without its addresses the process ends with an error, and is started again.
            let Some(free) = self.wire_again(index).await else { break };
            self.world.tell(Event::BeginsAgain { node: index });
            (config, wire) = (next, free);
        }
        self.world.tell(Event::Stopped { node: index });
        Ok(())
    }

    /// The wire of the next boot in the same process, if its addresses become free.
    async fn wire_again(&self, index: NodeIndex) -> Option<Wire<Face>> {
        for _ in 0..ADDRESSES_LOOKS {
            if let Ok(wire) = wire::wire(&self.world, &node_name(index)).await {
                return Some(wire);
            }
            // The last tasks of the boot before are about to let go of them.
            sleep(Duration::from_millis(1)).await;
        }
        None
    }

    /// Pushes as commanded, until the node has to stop, or cannot go on, and all is answered. Gives the configuration
    /// of the next boot, if the process begins again in place.
    async fn serve(
        &self,
        index: NodeIndex,
        node: &Node,
        inbox: &mut mpsc::Receiver<Command>,
    ) -> Option<Config> {
        let mut calls = FuturesUnordered::new();
        let failed = node.failed();
        tokio::pin!(failed);
        let again = loop {
            tokio::select! {
                biased; // The order of pushes is that of the plan.
                command = inbox.recv() => match command {
                    Some(Command::Push { push, aim, connected }) => {
                        calls.push(self.push(node, index, push, aim, connected));
                    }
                    Some(Command::Stop) | None => {
                        self.world.tell(Event::Stopping { node: index });
                        break None;
                    }
                },
                Some(()) = calls.next(), if !calls.is_empty() => {}
                fault = &mut failed => {
                    self.world.tell(Event::Failed { node: index, why: fault.to_string() });
                    break node.again();
                }
            }
        };
        while calls.next().await.is_some() {}
        again
    }

    /// Where the node listens is decided by its wire: by its configuration a development node stays on loopback.
    fn config(&self, index: NodeIndex) -> turmoil::Result<Config> {
        let mut config = Config::dev(NodeName::new(self.name(index))?);
        let address = |node| format!("{}:{MESH_PORT}", turmoil::lookup(node_name(node)));
        let nodes = self.boots.lock().expect(NOT_POISONED).len();
        config.peers = seeds(index, nodes).map(address).collect();
        config.data_dir = self.disk(index);
        self.settings.apply(&mut config, self.begun.fetch_add(1, Ordering::Relaxed));
        Ok(config)
    }

    async fn push(
        &self,
        node: &Node,
        index: NodeIndex,
        push: PushId,
        aim: Aim,
        connected: Vec<(ClientIndex, NodeIndex)>,
    ) {
        let found = found(node.replica(), &node.observer(), aim, &connected);
        let sessions = match aim {
            Aim::Client(client) => {
                Some(usize::from(node.replica().lookup_named(&session_key(client)).is_some()))
            }
            Aim::User(user) => Some(node.replica().user(&user_id(user)).len()),
            Aim::All => None,
        };
        let way = Way::Embedded { sessions };
        self.world.tell(Event::Pushed { push, node: index, aim, found, way });
        let payload = Payload::text(payload(push));
        let target = match aim {
            Aim::Client(client) => Target::Session(session_key(client)),
            Aim::User(user) => Target::User(user_id(user)),
            Aim::All => {
                let answer = match node.handle().broadcast(payload, None).await {
                    Ok(report) => {
                        let silent = report.nodes.iter().filter(|(_, tally)| tally.is_none());
                        let silent = silent.map(|(node, _)| Answer {
                            client: None,
                            node: Some(node.to_string()),
                            outcome: Outcome::Unreachable,
                            copies: 0,
                        });
                        let delivered = report.total().delivered;
                        Event::Answered { push, sessions: silent.collect(), delivered }
                    }
                    Err(error) => Event::Rejected { push, why: error.to_string() },
                };
                self.world.tell(answer);
                return;
            }
        };
        let answer = match node.handle().push(target, payload, None).await {
            Ok(report) => {
                self.world.tell(Event::Named { push, id: report.id.to_string() });
                answered(push, &report)
            }
            Err(error) => Event::Rejected { push, why: error.to_string() },
        };
        self.world.tell(answer);
    }
}

/// The application at a node: it notes what clients say.
struct Application {
    world: Arc<World>,
    node: NodeIndex,
}

#[async_trait]
impl Handler for Application {
    async fn on_message(&self, _: &NodeHandle, session: &SessionInfo, message: Payload) {
        let text = String::from_utf8_lossy(message.bytes()).into_owned();
        if let Some(client) = client_of(session.key.device.as_str()) {
            self.world.tell(Event::Heard { node: self.node, client, text });
        }
    }
}

/// The clients that are meant, whose connection is where that copy of the directory says, and to whose
/// node there is a link: what goes over a third node is in no order with what does not. With that node: by now the client may have
/// gone on to another one.
pub(crate) fn found(
    replica: &Replica,
    observer: &Observer,
    aim: Aim,
    connected: &[(ClientIndex, NodeIndex)],
) -> Vec<(ClientIndex, NodeIndex)> {
    let sees = |client: ClientIndex, at: NodeIndex| {
        let owned = replica.lookup_named(&session_key(client));
        let way = |owner: &NodeName| owner == replica.me() || observer.is_linked(owner);
        owned.is_some_and(|owned| node_of(owned.owner.as_str()) == Some(at) && way(&owned.owner))
    };
    connected.iter().filter(|(client, at)| aim.includes(*client) && sees(*client, *at)).copied().collect()
}

fn answered(push: PushId, report: &PushReport) -> Event {
    let sessions = report.sessions.iter().map(|session| Answer {
        client: session.device.as_ref().and_then(|device| client_of(device.as_str())),
        node: session.node.as_ref().map(ToString::to_string),
        outcome: session.outcome.clone(),
        copies: 0,
    });
    Event::Answered { push, sessions: sessions.collect(), delivered: report.delivered() as u64 }
}

/// The nodes that a node is told of. Two are enough: the others are found by gossip.
pub(crate) fn seeds(node: NodeIndex, nodes: usize) -> impl Iterator<Item = NodeIndex> {
    (0..nodes).filter(move |other| *other != node).take(SEEDS)
}

/// The session of a client.
pub(crate) fn session_key(client: ClientIndex) -> SessionKey {
    let device = DeviceId::new(device_name(client)).expect("a short word is a valid device");
    SessionKey::new(user_id(user_of(client)), device)
}

/// The id of a user.
pub(crate) fn user_id(user: usize) -> UserId {
    UserId::new(user_name(user)).expect("a short word is a valid user")
}

/// Where clients connect with that session, with what they add to the query: a resume token, if they have one.
pub(crate) fn client_url(
    connection: ConnectionId,
    client: ClientIndex,
    node: NodeIndex,
    more: &str,
) -> String {
    let (host, user, device) = (node_name(node), user_name(user_of(client)), device_name(client));
    format!("ws://{host}:{HTTP_PORT}/v1/ws?user={user}&device={device}&{CONNECTION}={connection}{more}")
}

/// Other nodes that a node is told of.
const SEEDS: usize = 2;
/// How often a node that begins again looks whether its addresses are free, once in a millisecond. Source: as long as the
/// command does.
const ADDRESSES_LOOKS: usize = 5_000;
/// Commands waiting for one node: far more than a plan has in one millisecond.
const COMMANDS_MAX: usize = 1_024;
const NOT_POISONED: &str = "no panic happens under this lock";
