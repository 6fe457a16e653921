//! Which version of the protocol is spoken on a connection.
//!
//! TLS agrees on it before anything else is said (ALPN): each end names the versions that it knows, and the newest of
//! both is taken. Ends without a common one refuse each other.

use quinn::Connection;
use quinn::crypto::rustls::HandshakeData;

use crate::config::MeshVersion;

/// The protocols of TLS that a node names whose newest version is this, by preference.
pub(crate) fn protocols(newest: MeshVersion) -> Vec<Vec<u8>> {
    newest.spoken().map(protocol).collect()
}

/// The version on which both ends of a connection have agreed.
pub(crate) fn of(connection: &Connection) -> Option<MeshVersion> {
    let data = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
    let agreed = data.protocol?;
    MeshVersion::default().spoken().find(|version| protocol(*version) == agreed)
}

fn protocol(version: MeshVersion) -> Vec<u8> {
    format!("pushmesh/{version}").into_bytes()
}
