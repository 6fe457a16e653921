//! Requests of peers: done at this node's sessions, or passed on for a peer that does not reach their target.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;

use crate::id::NodeName;
use crate::mesh::codec::CodecError;
use crate::mesh::{Link, Links, RequestHandler};
use crate::metrics::label::Direction;
use crate::receipt::{Asker, Done};
use crate::router::frame::Request;
use crate::router::operation::Operation;
use crate::router::owner::Owner;
use crate::router::relay::relay;
use crate::vital::Vitals;

/// Serves the requests of peers.
pub(crate) struct Requests {
    pub(crate) me: NodeName,
    pub(crate) owner: Arc<Owner>,
    /// Weak, because the links hold this.
    pub(crate) links: Weak<Links>,
    pub(crate) vitals: Vitals,
    pub(crate) push_timeout: Duration,
}

impl RequestHandler for Requests {
    type Request = Request;

    fn check(&self, request: &Request, payload_bytes: usize) -> Result<(), CodecError> {
        request.action.check(payload_bytes)?;
        request.recipients.check()
    }

    fn request(&self, link: &Arc<Link>, request: Request, payload: Bytes) {
        self.vitals.metrics().mesh_requests.with(Direction::Received).increment(1);
        if let Some(to) = request.relay_to.clone().filter(|to| *to != self.me) {
            let Some(links) = self.links.upgrade() else { return };
            return relay(&links, &self.vitals, self.push_timeout, link, &to, request, payload);
        }
        let operation = Operation::received(request.action, payload);
        let done = Done::Peer(Arc::clone(link) as Arc<dyn Asker>, request.seq);
        self.owner.execute(&request.recipients, &operation, done);
    }
}
