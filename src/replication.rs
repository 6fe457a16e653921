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
//! its exact copy once. [`follower`] is the taker's side. [`digests`] finds which section is to be pulled from whom. Each
//! carries a core without I/O: [`serving`], [`taking`] and [`comparing`]; how long they wait is in [`waiting`].

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::limits;
use crate::mesh::carried::{Carried, LinkTask, StreamHandler};
use crate::mesh::conduct::{Breach, soon};
use crate::mesh::stream::{Inbound, StreamKind};
use crate::mesh::{Link, Links};
use crate::wire::Entropy;

mod allowance;
pub(crate) mod comparing;
mod digests;
mod follower;
pub(crate) mod frame;
pub(crate) mod fuzz;
mod owners;
mod server;
pub(crate) mod serving;
mod shared;
pub(crate) mod taking;
pub(crate) mod waiting;

use allowance::Allowance;
use frame::{DIGESTS, DigestsFrame, SECTION, Subscribe};
pub(crate) use owners::Owners;
pub(crate) use shared::Replication;

impl Replication {
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
        let Some((digests, _)) = soon(stream.reader.next::<DigestsFrame>()).await? else { return Ok(()) };
        link.attached::<Allowance>().digests(Instant::now())?;
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
        if comparing::asks_first(link.dialled()) {
            digests::exchange(&self.0, link).await;
        }
        Ok(())
    }
}

const GOES_BOTH_WAYS: &str = "a stream of this kind is answered";
