//! Addresses that a node can dial: those of its peers, and its own as they are told it.

use std::net::{IpAddr, SocketAddr};

/// Whether this may be the address of a peer: `host:port`.
pub(super) fn is_dialable(peer: &str) -> bool {
    match peer.parse::<SocketAddr>() {
        Ok(addr) => is_of_one(addr),
        Err(_) => peer.rsplit_once(':').is_some_and(|(host, port)| {
            let host_ok = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            !host.is_empty() && host_ok && port.parse::<u16>().is_ok_and(|port| port != 0)
        }),
    }
}

/// Whether one node can be there: it is no address of a group, and none that means any.
pub(super) fn is_of_one(addr: SocketAddr) -> bool {
    let ip = addr.ip().to_canonical();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    addr.port() != 0 && !(ip.is_unspecified() || ip.is_multicast() || is_broadcast)
}

/// The rule for the address of a peer.
pub(super) const NOT_DIALABLE: &str = "is not the mesh address of a node: host:port, such as 10.0.0.2:7400";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_at_a_name_or_at_the_address_of_one_node() {
        for good in ["10.0.0.2:7400", "[2001:db8::1]:7400", "n1.example:7400", "n_1:1"] {
            assert!(is_dialable(good), "{good}");
        }
        for bad in [
            "",
            ":7400",
            "n1",
            "n1:0",
            "n1:70000",
            "a b:7400",
            "10.0.0.2:0",
            "0.0.0.0:7400",
            "[::]:7400",
            "224.0.0.1:7400",
            "255.255.255.255:7400",
            "[ff02::1]:7400",
            "[::ffff:224.0.0.1]:7400",
        ] {
            assert!(!is_dialable(bad), "{bad}");
        }
    }
}
