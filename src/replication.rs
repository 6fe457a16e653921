//! How sections travel between nodes, over the links of the mesh.
//!
//! One ordered stream brings each peer's own section for as long as the link lives; short ones fetch what such a stream
//! could not bring.
//!
//! ```text
//!   follower ── Subscribe{owner, position, follow} ──► server
//!            ◄── Head{digest} ── Delta* ── (Begin Chunk* Delta* End) ── Delta* …
//! ```
//!
//! [`server`] is the holder's side: an owner that is followed for as long as the link lives, or any node that serves
//! its exact copy once. [`follower`] is the taker's side. Both carry a core without I/O, [`serving`] and [`taking`].
//! [`digests`] finds which section is to be pulled from whom.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::directory::Lost;
use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::mesh::carried::{Carried, LinkTask, StreamHandler};
use crate::mesh::conduct::{Breach, soon};
use crate::mesh::notice::Notice;
use crate::mesh::stream::{Inbound, StreamKind};
use crate::mesh::{Link, Links};
use crate::metrics::Metrics;
use crate::replica::Replica;
use crate::vital::Vitals;
use crate::wire::Entropy;

mod digests;
mod follower;
pub(crate) mod frame;
pub(crate) mod fuzz;
mod server;
pub(crate) mod serving;
pub(crate) mod taking;

use frame::{DIGESTS, Digests, SECTION, Subscribe};

/// What replication asks and tells the node that it belongs to. No method may block.
pub(crate) trait Owners: Send + Sync + 'static {
    /// How many other members are alive.
    fn peers(&self) -> usize;

    /// The copy of the section of `owner` has reached where it stood when it was asked for.
    fn section_synced(&self, owner: &NodeName);

    /// Whether the owner has not been reached for so long that its section may come from others.
    fn is_stale(&self, owner: &NodeName) -> bool;

    /// Whether this boot of the owner is the one that this node counts as a member.
    fn admits(&self, owner: &NodeName, incarnation: Incarnation) -> bool;

    /// This node has lost keys to other nodes.
    fn lost(&self, lost: Vec<Lost>);
}

/// Keeps the copies of all sections right.
pub(crate) struct Replication {
    replica: Arc<Replica>,
    owners: Arc<dyn Owners>,
    metrics: Arc<Metrics>,
    vitals: Vitals,
    /// Snapshots that may be sent now.
    snapshots_sent: Semaphore,
    /// Snapshots that may be received now.
    snapshots_received: Semaphore,
    /// The sections that are being pulled.
    pulling: Mutex<BTreeSet<NodeName>>,
    /// Of copies that are found to be wrong.
    wrong: Notice,
}

impl Replication {
    /// Of this replica.
    pub(crate) fn new(replica: Arc<Replica>, owners: Arc<dyn Owners>, vitals: Vitals) -> Arc<Self> {
        Arc::new(Self {
            replica,
            owners,
            metrics: Arc::clone(vitals.metrics()),
            vitals,
            snapshots_sent: Semaphore::new(limits::SNAPSHOTS_MAX),
            snapshots_received: Semaphore::new(limits::SNAPSHOTS_MAX),
            pulling: Mutex::default(),
            wrong: Notice::new(limits::REFUSALS_LOGGED_EVERY),
        })
    }

    /// Registers what it does on links.
    #[must_use]
    pub(crate) fn register(self: &Arc<Self>, carried: Carried) -> Carried {
        carried
            .streams(Arc::new(Sections(Arc::clone(self))))
            .streams(Arc::new(Comparisons(Arc::clone(self))))
            .task(Arc::new(Sections(Arc::clone(self))))
            .task(Arc::new(Comparisons(Arc::clone(self))))
    }

    /// Compares copies with one peer after the other until `stop`.
    pub(crate) async fn run(
        self: Arc<Self>,
        links: Arc<Links>,
        entropy: Arc<Entropy>,
        stop: CancellationToken,
    ) {
        digests::run(&self, &links, &entropy, &stop).await;
    }

    /// Whether a panic has left the list of what is being pulled half changed.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.pulling.is_poisoned()
    }
}

/// Serves sections to peers, and follows theirs.
struct Sections(Arc<Replication>);

#[async_trait]
impl StreamHandler for Sections {
    fn kind(&self) -> StreamKind {
        SECTION
    }

    async fn serve(&self, link: &Arc<Link>, mut stream: Inbound) -> Result<(), Breach> {
        let Some((subscribe, _)) = soon(stream.reader.next::<Subscribe>()).await? else { return Ok(()) };
        let answer = stream.answer.expect(GOES_BOTH_WAYS);
        Ok(server::serve(&self.0, link, answer, subscribe).await?)
    }
}

#[async_trait]
impl LinkTask for Sections {
    fn lasts(&self) -> bool {
        true
    }

    async fn run(&self, link: &Arc<Link>) -> Result<(), Breach> {
        follower::follow(&self.0, link).await.map_or(Ok(()), Err)
    }
}

/// Compares digests with peers that ask, and with each peer that this node has dialled once.
struct Comparisons(Arc<Replication>);

#[async_trait]
impl StreamHandler for Comparisons {
    fn kind(&self) -> StreamKind {
        DIGESTS
    }

    async fn serve(&self, link: &Arc<Link>, mut stream: Inbound) -> Result<(), Breach> {
        let Some((digests, _)) = soon(stream.reader.next::<Digests>()).await? else { return Ok(()) };
        link.conduct().digests(Instant::now())?;
        // Whoever does not read the answer keeps a stream of its own, and nothing of this node.
        let answer = digests::answer(&self.0, link, stream.answer.expect(GOES_BOTH_WAYS), digests);
        timeout(limits::DIGEST_INTERVAL, answer).await.unwrap_or(Ok(())).map_err(Breach::from)
    }
}

#[async_trait]
impl LinkTask for Comparisons {
    fn lasts(&self) -> bool {
        false
    }

    async fn run(&self, link: &Arc<Link>) -> Result<(), Breach> {
        if link.dialled() {
            digests::exchange(&self.0, link).await;
        }
        Ok(())
    }
}

const GOES_BOTH_WAYS: &str = "a stream of this kind is answered";
