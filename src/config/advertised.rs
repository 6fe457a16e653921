//! The mesh address that peers are told: an address, or a name with a port, which is resolved when the node starts.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::dialable::{is_dialable, is_of_one};

/// What peers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advertised {
    /// This address.
    Address(SocketAddr),
    /// The address that the name has, which is `host:port`.
    Name(String),
}

impl Advertised {
    /// The address, where none has to be looked up.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Advertised::Address(addr) => Some(*addr),
            Advertised::Name(_) => None,
        }
    }

    /// The one of the addresses of a name that is used: who says `localhost` means what most peers try first.
    pub(crate) fn choose(found: impl IntoIterator<Item = SocketAddr>) -> Option<SocketAddr> {
        found.into_iter().filter(|addr| is_of_one(*addr)).min_by_key(|addr| (addr.is_ipv6(), *addr))
    }
}

impl FromStr for Advertised {
    type Err = AdvertisedError;

    fn from_str(text: &str) -> Result<Self, AdvertisedError> {
        let text = text.trim();
        match text.parse() {
            Ok(addr) => Ok(Advertised::Address(addr)),
            Err(_) if is_dialable(text) => Ok(Advertised::Name(text.to_owned())),
            Err(_) => Err(AdvertisedError(text.to_owned())),
        }
    }
}

impl From<SocketAddr> for Advertised {
    fn from(addr: SocketAddr) -> Self {
        Advertised::Address(addr)
    }
}

/// As it is written.
impl fmt::Display for Advertised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Advertised::Address(addr) => addr.fmt(f),
            Advertised::Name(name) => f.write_str(name),
        }
    }
}

/// Why a text is nothing that peers could be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address that peers can dial: 10.0.0.1:7400, [2001:db8::1]:7400 or n1.example:7400")]
pub struct AdvertisedError(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_itself_and_a_name_is_looked_up_later() {
        for text in ["10.0.0.1:7400", "[2001:db8::1]:7400"] {
            let read: Advertised = format!(" {text} ").parse().unwrap();
            assert_eq!((read.address(), read.to_string().as_str()), (Some(addr(text)), text));
        }
        let name: Advertised = "n1.example:7400".parse().unwrap();
        assert_eq!((name.address(), name.to_string().as_str()), (None, "n1.example:7400"));
    }

    #[test]
    fn what_nobody_can_dial_is_refused_with_what_to_write() {
        for wrong in
            ["", "7400", ":7400", "n1", "n1:", "n1:0", "n1:99999", "n 1:7400", "http://n1:7400", "10.0.0.1"]
        {
            let refused = wrong.parse::<Advertised>().unwrap_err().to_string();
            assert!(refused.contains("is no address that peers can dial"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn of_several_addresses_the_same_one_is_chosen_in_whatever_order_they_come() {
        let [four, later, six, any] = ["10.0.0.1:1", "10.0.0.2:1", "[2001:db8::1]:1", "0.0.0.0:1"].map(addr);
        assert_eq!(Advertised::choose([any, six, later, four]), Some(four));
        assert_eq!(Advertised::choose([four, later]), Some(four));
        assert_eq!(Advertised::choose([six]), Some(six));
        assert_eq!(Advertised::choose([any]), None);
    }
}
