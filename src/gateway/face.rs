//! What all requests share: the parts of the node, and room for requests.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::gateway::parts::Gateway;
use crate::limits;

/// The gateway with what its routes share.
pub(super) struct Face {
    pub(super) gateway: Arc<Gateway>,
    /// API requests that may be in progress.
    pub(super) requests: Arc<Semaphore>,
    /// WebSockets that may be opened only to tell the client why it is not let in.
    pub(super) farewells: Arc<Semaphore>,
}

impl Face {
    /// The face of a node with these parts.
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(limits::API_REQUESTS_MAX)),
            farewells: Arc::new(Semaphore::new(FAREWELLS_MAX)),
            gateway,
        }
    }
}

/// Guess: a reconnect storm is told why, and costs at most this many sockets beside the sessions.
const FAREWELLS_MAX: usize = 256;
