//! The address that peers are told, given as such or by a name.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::parse::{addr, resolved};

/// An address, and the name that it was found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// As the operator wrote it, with a port.
    text: String,
    addr: SocketAddr,
}

impl Advertised {
    /// What it was when it was read.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether the operator gave a name, which may come to mean another address.
    #[must_use]
    pub fn is_name(&self) -> bool {
        self.text.parse::<SocketAddr>().is_err()
    }

    /// What the name means now. It asks the system, and waits for its answer.
    ///
    /// # Errors
    /// It has no address, or cannot be resolved.
    pub fn again(&self) -> Result<SocketAddr, String> {
        Ok(self.text.parse::<Self>()?.addr)
    }
}

impl FromStr for Advertised {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let found = match addr(text) {
            Ok(addr) => addr,
            Err(_) => resolved(text).map_err(|problem| {
                problem.unwrap_or_else(|| {
                    format!("{text:?} is no address that peers can dial: 10.0.0.1:7400, [2001:db8::1]:7400 or n1.example:7400")
                })
            })?,
        };
        Ok(Self { text: text.to_owned(), addr: found })
    }
}

/// As the operator wrote it.
impl fmt::Display for Advertised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<SocketAddr> for Advertised {
    fn from(addr: SocketAddr) -> Self {
        Self { text: addr.to_string(), addr }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_itself_and_a_name_is_what_the_system_says() {
        for text in ["10.0.0.1:7400", "[2001:db8::1]:7400"] {
            let read: Advertised = format!(" {text} ").parse().unwrap();
            assert_eq!(
                (read.to_string(), read.addr().to_string(), read.is_name()),
                (text.into(), text.into(), false)
            );
        }
        let read: Advertised = "localhost:7400".parse().unwrap();
        assert!(read.is_name() && read.addr().ip().is_loopback() && read.addr().port() == 7400);
        assert_eq!(read.again(), Ok(read.addr()));
    }

    #[test]
    fn what_nobody_can_dial_is_refused_with_what_to_write() {
        for wrong in [
            "",
            "7400",
            ":7400",
            "n1",
            "n1:",
            "n1:99999",
            "n 1:7400",
            "http://n1:7400",
            "a@b:7400",
            "10.0.0.1",
        ] {
            let refused = wrong.parse::<Advertised>().unwrap_err();
            assert!(refused.contains("is no address that peers can dial"), "{wrong}: {refused}");
        }
        let refused = "nobody.invalid:7400".parse::<Advertised>().unwrap_err();
        assert!(refused.contains("nobody.invalid"), "{refused}");
    }
}
