//! The node's one QUIC endpoint, and how it dials.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{AsyncUdpSocket, Connection, Endpoint, Runtime, VarInt};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::config::MeshVersion;
use crate::id::NodeName;
use crate::limits;
use crate::mesh::identity::{Identity, IdentityError, SERVER_NAME};
use crate::mesh::timer::LazyTimers;
use crate::vital::Vitals;

/// Why a connection to a peer is closed; the application code that the peer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum CloseCode {
    /// The process ends without a word.
    Ended = 0,
    /// The node has left: its sessions are closed and its section is empty.
    Left = 1,
    /// Another connection between the same two nodes is in use.
    Duplicate = 2,
    /// The peer broke the protocol.
    Protocol = 3,
    /// A later boot of the peer's name is known.
    Stale = 4,
    /// The probe is answered.
    Probed = 5,
    /// The peer's settings are not those of this node.
    Disagreed = 6,
}

impl CloseCode {
    /// Closes `connection` for this reason.
    pub(crate) fn close(self, connection: &Connection) {
        connection.close(self.code(), b"");
    }

    /// The code on the wire.
    pub(crate) fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }
}

/// Why nobody was reached at an address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The address is of no use.
    #[error("{0}")]
    Connect(#[from] quinn::ConnectError),
    /// The handshake failed: no node there, or not one of this cluster.
    #[error("{0}")]
    Connection(#[from] quinn::ConnectionError),
    /// Nothing answers.
    #[error("no answer within {} ms", limits::DIAL_TIMEOUT.as_millis())]
    Timeout,
    /// The certificate says nothing usable.
    #[error("{0}")]
    Identity(#[from] IdentityError),
}

/// Opens the endpoint on the wire's socket, with its tasks on `thread`; it speaks no version above `newest`. `seeds` decide
/// all its random choices and those of its dials.
///
/// # Errors
/// Those of the socket.
pub(crate) fn open(
    udp: Arc<dyn AsyncUdpSocket>,
    runtime: Arc<dyn Runtime>,
    thread: Handle,
    identity: &Identity,
    newest: MeshVersion,
    seeds: [[u8; 32]; 2],
    vitals: Vitals,
) -> io::Result<Endpoint> {
    let mut endpoint = Endpoint::new_with_abstract_socket(
        identity.endpoint_config(seeds[0]),
        Some(identity.server_config(newest)),
        udp,
        Arc::new(LazyTimers { runtime, thread, vitals }),
    )?;
    endpoint.set_default_client_config(identity.client_config(newest, seeds[1]));
    Ok(endpoint)
}

/// Connects to `addr` and says whose certificate answered.
///
/// # Errors
/// See [`DialError`].
pub(crate) async fn dial(
    endpoint: &Endpoint,
    identity: &Identity,
    addr: SocketAddr,
) -> Result<(Connection, NodeName), DialError> {
    let connecting = endpoint.connect(addr, SERVER_NAME)?;
    let connection = timeout(limits::DIAL_TIMEOUT, connecting).await.map_err(|_| DialError::Timeout)??;
    let name = identity.peer_name(&connection)?;
    Ok((connection, name))
}
