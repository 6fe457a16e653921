//! Requests of peers and the receipts for this node's own, as streams of a link.
//!
//! What a request asks for is not known here: it goes to the [`RequestHandler`], and is answered through
//! [`Link::answer`] with its number.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::mesh::carried::StreamHandler;
use crate::mesh::codec::CodecError;
use crate::mesh::conduct::Breach;
use crate::mesh::frame::Receipts;
use crate::mesh::link::Link;
use crate::mesh::stream::{Inbound, LANE, RECEIPTS, StreamKind};

/// Does what peers ask for.
pub(crate) trait RequestHandler: Send + Sync + 'static {
    /// The header of a request.
    type Request: DeserializeOwned + Send;

    /// Checks that the receipt of a request will fit a frame, and that its header and its payload belong together.
    ///
    /// # Errors
    /// [`CodecError::Oversize`].
    fn check(&self, request: &Self::Request, payload_bytes: usize) -> Result<(), CodecError>;

    /// Takes a request, which is answered later or at once. Must not block: those behind it wait.
    fn request(&self, link: &Arc<Link>, request: Self::Request, payload: Bytes);
}

/// Serves lanes with the requests of peers.
pub(crate) struct LaneStreams<H>(pub(crate) Arc<H>);

#[async_trait]
impl<H: RequestHandler> StreamHandler for LaneStreams<H> {
    fn kind(&self) -> StreamKind {
        LANE
    }

    async fn serve(&self, link: &Arc<Link>, mut stream: Inbound) -> Result<(), Breach> {
        link.conduct().lane()?;
        while let Some((request, payload)) = stream.reader.next().await? {
            self.0.check(&request, payload.len())?;
            link.owe()?;
            self.0.request(link, request, payload);
            link.room().await;
        }
        Ok(())
    }
}

/// Serves the receipts for requests of this node.
pub(crate) struct ReceiptStreams;

#[async_trait]
impl StreamHandler for ReceiptStreams {
    fn kind(&self) -> StreamKind {
        RECEIPTS
    }

    async fn serve(&self, link: &Arc<Link>, mut stream: Inbound) -> Result<(), Breach> {
        link.conduct().receipts()?;
        while let Some((Receipts(receipts), _)) = stream.reader.next().await? {
            receipts.into_iter().try_for_each(|receipt| link.complete(receipt))?;
        }
        Ok(())
    }
}
