//! What links carry, without the mesh knowing what it means.
//!
//! Each kind of streams has a [`StreamHandler`], and whoever does something on every link of its own accord is a
//! [`LinkTask`]. The composition root registers both when the node starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::mesh::conduct::Breach;
use crate::mesh::link::Link;
use crate::mesh::stream::{Inbound, StreamKind};

/// Serves the streams of one kind that peers open.
#[async_trait]
pub(crate) trait StreamHandler: Send + Sync + 'static {
    /// The kind.
    fn kind(&self) -> StreamKind;

    /// Serves one stream to its end. The rate at which a peer may open streams is bounded already; how much one
    /// may bring, and for how long it may be silent, is bounded here.
    ///
    /// # Errors
    /// [`Breach`]: what the peer did ends the link.
    async fn serve(&self, link: &Arc<Link>, stream: Inbound) -> Result<(), Breach>;
}

/// Takes the datagrams that peers send.
pub(crate) trait DatagramHandler: Send + Sync + 'static {
    /// Takes one. Must not block.
    ///
    /// # Errors
    /// [`Breach`]: what the peer did ends the link.
    fn receive(&self, link: &Arc<Link>, datagram: Bytes) -> Result<(), Breach>;
}

/// Does something on each link from its beginning on.
#[async_trait]
pub(crate) trait LinkTask: Send + Sync + 'static {
    /// Whether it goes on for as long as the link: its early end is a fault then, and ends the link.
    fn lasts(&self) -> bool;

    /// Whether pushes wait for it: it is on the thread of the links then, which another one would have to wake for each.
    fn is_waited_for(&self) -> bool {
        false
    }

    /// Does it on this link.
    ///
    /// # Errors
    /// [`Breach`]: what the peer did ends the link.
    async fn run(&self, link: &Arc<Link>) -> Result<(), Breach>;
}

/// All that is carried.
pub(crate) struct Carried {
    streams: BTreeMap<u8, Arc<dyn StreamHandler>>,
    datagrams: Arc<dyn DatagramHandler>,
    tasks: Vec<Arc<dyn LinkTask>>,
}

impl Carried {
    /// Datagrams, and nothing else yet.
    pub(crate) fn new<H: DatagramHandler>(datagrams: Arc<H>) -> Self {
        Self { streams: BTreeMap::new(), datagrams, tasks: Vec::new() }
    }

    /// Streams of one more kind.
    ///
    /// # Panics
    /// When there is a handler for the kind already.
    #[must_use]
    pub(crate) fn streams<H: StreamHandler>(mut self, handler: Arc<H>) -> Self {
        let before = self.streams.insert(handler.kind().byte, handler);
        assert!(before.is_none(), "each kind of streams has one handler");
        self
    }

    /// One more task for each link.
    #[must_use]
    pub(crate) fn task<T: LinkTask>(mut self, task: Arc<T>) -> Self {
        self.tasks.push(task);
        self
    }

    /// The kind with this first byte, if its streams are served.
    pub(crate) fn kind(&self, byte: u8) -> Option<StreamKind> {
        self.streams.get(&byte).map(|handler| handler.kind())
    }

    /// Who serves the streams of a kind.
    pub(crate) fn handler(&self, kind: StreamKind) -> Option<Arc<dyn StreamHandler>> {
        self.streams.get(&kind.byte).cloned()
    }

    /// Who takes datagrams.
    pub(crate) fn datagrams(&self) -> &dyn DatagramHandler {
        &*self.datagrams
    }

    /// What is done on each link.
    pub(crate) fn tasks(&self) -> &[Arc<dyn LinkTask>] {
        &self.tasks
    }
}
