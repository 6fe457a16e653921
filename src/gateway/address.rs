//! Where a client is, also behind balancers.
//!
//! A balancer hides the address of a client behind its own and says it in `X-Forwarded-For`, to which each balancer on the way
//! adds the address that it has seen. Anybody can write that header. So it is read from its end, and each entry is believed only
//! as long as the one who wrote it is a balancer that the operator has named.
//!
//! Source: MDN, "X-Forwarded-For", selecting an address.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The other end of a connection. In the extensions of a request for another protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer(pub(super) IpAddr);

/// Whether an address is of a balancer that the operator has named.
pub(super) fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(&address.to_canonical()))
}

/// The address of the client that a request with these headers is from.
pub(super) fn client(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let Peer(mut believed) = peer;
    let lines = headers.get_all(FORWARDED_FOR).iter().rev().filter_map(|line| line.to_str().ok());
    for entry in lines.flat_map(|line| line.rsplit(',')).map(str::trim) {
        if !is_trusted(trusted, believed) {
            break;
        }
        // One that cannot be read was not written by a balancer that is any good.
        let Some(address) = parse(entry) else { break };
        believed = address;
    }
    believed.to_canonical()
}

/// An entry of the header: an address, which some balancers write with a port.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|addr| addr.ip()))
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peer: &str, lines: &[&'static str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        client(Peer(peer.parse().unwrap()), &headers, &trusted).to_string()
    }

    #[test]
    fn who_is_no_balancer_is_the_client_whatever_it_says() {
        assert_eq!(found("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(found("::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn a_balancer_is_believed_and_who_wrote_to_it_is_not() {
        assert_eq!(found("10.0.0.9", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            found("::ffff:10.0.0.9", &["203.0.113.5, 198.51.100.7"]),
            "198.51.100.7",
            "the first one is its own claim"
        );
        assert_eq!(
            found("10.0.0.9", &["203.0.113.5", "198.51.100.7, 10.1.1.1"]),
            "198.51.100.7",
            "two balancers"
        );
        assert_eq!(found("10.0.0.9", &["10.0.0.3"]), "10.0.0.3", "a balancer that checks this one");
        assert_eq!(found("10.0.0.9", &[]), "10.0.0.9");
    }

    #[test]
    fn an_entry_is_an_address_with_or_without_a_port() {
        assert_eq!(found("10.0.0.9", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(found("2001:db8:1::9", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(found("10.0.0.9", &["[2001:db8::7]"]), "2001:db8::7");
        for nonsense in ["unknown", "", "198.51.100.7.8", "_hidden"] {
            assert_eq!(found("10.0.0.9", &[nonsense]), "10.0.0.9", "{nonsense}");
        }
        assert_eq!(
            found("10.0.0.9", &["198.51.100.7, unknown"]),
            "10.0.0.9",
            "what stands before it was written by nobody known"
        );
    }
}
