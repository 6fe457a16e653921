//! Whom a push is for and what it waits for, as written on the command line.

use std::str::FromStr;

use clap::ValueEnum;

use crate::cli::server::encode;
use crate::id::{DeviceId, UserId};

/// What a push waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Wait {
    /// The answer of the node that holds the connection
    Receipt,
    /// The same, and before that for up to a second until another node holds the message in memory
    Stored,
    /// The same, and before that for up to a second the acknowledgement of the client
    Acked,
    /// Nothing: the push is accepted, and what becomes of it stays unknown
    None,
}

/// Whom a push is for, as written on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    All,
    User(UserId),
    Device(UserId, DeviceId),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Address::All);
        }
        let rest = text.strip_prefix("user/").ok_or("a target is user/ID, user/ID/DEVICE or all")?;
        let user = |text: &str| UserId::new(decode(text)).map_err(|error| error.to_string());
        let device = |text: &str| DeviceId::new(decode(text)).map_err(|error| error.to_string());
        match rest.split_once('/') {
            None => Ok(Address::User(user(rest)?)),
            Some((_, tail)) if tail.contains('/') => Err("a slash in an id is written %2F".to_owned()),
            Some((head, tail)) => Ok(Address::Device(user(head)?, device(tail)?)),
        }
    }
}

impl Address {
    /// The call that pushes to it.
    pub(super) fn path(&self, wait: Option<Wait>) -> String {
        let path = match self {
            Address::All => "/v1/broadcast".to_owned(),
            Address::User(user) => format!("/v1/users/{}/push", encode(user.as_str())),
            Address::Device(user, device) => {
                format!("/v1/users/{}/devices/{}/push", encode(user.as_str()), encode(device.as_str()))
            }
        };
        match wait {
            None => path,
            Some(Wait::Receipt) => path + "?wait=receipt",
            Some(Wait::Stored) => path + "?wait=stored",
            Some(Wait::Acked) => path + "?wait=acked",
            Some(Wait::None) => path + "?wait=none",
        }
    }
}

/// `%2F` and the like become what they stand for; a percent sign before anything else is itself.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = pair.filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        match byte.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
