//! Addresses that a node can dial: those of its peers, and its own as they are told it.

use std::net::SocketAddr;

/// Whether this may be the address of a peer: `host:port`.
pub(super) fn is_dialable(peer: &str) -> bool {
    match peer.parse::<SocketAddr>() {
        Ok(addr) => addr.port() != 0 && !addr.ip().is_unspecified(),
        Err(_) => peer.rsplit_once(':').is_some_and(|(host, port)| {
            let host_ok = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            !host.is_empty() && host_ok && port.parse::<u16>().is_ok_and(|port| port != 0)
        }),
    }
}

/// The rule for the address of a peer.
pub(super) const NOT_DIALABLE: &str = "is not the mesh address of a node: host:port, such as 10.0.0.2:7400";
