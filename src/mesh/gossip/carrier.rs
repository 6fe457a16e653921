//! Gossip on a link: datagrams, and a short stream for each message that exceeds one.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::limits;
use crate::mesh::carried::{DatagramHandler, LinkTask, StreamHandler};
use crate::mesh::conduct::{Breach, soon};
use crate::mesh::link::Link;
use crate::mesh::stream::{GOSSIP, Inbound, StreamKind};
use crate::metrics::Metrics;

/// Brings the gossip of all peers to this node's, and theirs to them.
pub(crate) struct GossipCarrier {
    inbox: mpsc::Sender<(SocketAddr, Bytes)>,
    metrics: Arc<Metrics>,
}

impl GossipCarrier {
    /// Puts what arrives into `inbox`.
    pub(crate) fn new(inbox: mpsc::Sender<(SocketAddr, Bytes)>, metrics: Arc<Metrics>) -> Self {
        Self { inbox, metrics }
    }
}

impl DatagramHandler for GossipCarrier {
    fn receive(&self, link: &Arc<Link>, message: Bytes) -> Result<(), Breach> {
        let within = link.conduct().gossip(Instant::now())?;
        if !within || self.inbox.try_send((link.peer().mesh, message)).is_err() {
            self.metrics.gossip_refused.increment(1);
        }
        Ok(())
    }
}

#[async_trait]
impl StreamHandler for GossipCarrier {
    fn kind(&self) -> StreamKind {
        GOSSIP
    }

    async fn serve(&self, link: &Arc<Link>, stream: Inbound) -> Result<(), Breach> {
        let message = soon(stream.reader.rest(limits::GOSSIP_BYTES_MAX)).await?;
        self.receive(link, message)
    }
}

#[async_trait]
impl LinkTask for GossipCarrier {
    fn lasts(&self) -> bool {
        false // Until the link is retired.
    }

    async fn run(&self, link: &Arc<Link>) -> Result<(), Breach> {
        loop {
            // The mailbox is the peer's, not the link's: one that is retired must not empty it.
            let message = tokio::select! {
                message = link.gossip().pop() => message,
                () = link.retired() => return Ok(()),
            };
            let connection = link.connection();
            if connection.max_datagram_size().is_some_and(|max| message.len() <= max) {
                let _ = connection.send_datagram(message); // Gossip repeats itself.
                continue;
            }
            let send = async {
                let mut stream = GOSSIP.open(connection, link.version()).await?;
                stream.write_chunk(message).await?;
                let _ = stream.finish();
                Ok::<_, quinn::WriteError>(())
            };
            let _ = timeout(limits::GOSSIP_DEADLINE, send).await; // A late round is worth nothing.
        }
    }
}
