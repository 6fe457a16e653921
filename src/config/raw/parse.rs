//! Shapes of single values, for clap and serde alike.
//!
//! Each function exists once and is used by both, so that a flag and a key of the file accept the
//! same texts and refuse the others in the same words.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::config::{MeshVersion, SampleRatio, duration};

/// Reads an IP address with a port.
pub(super) fn addr(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "an address is an IP address with a port: 127.0.0.1:8080 or [::1]:8080".to_owned())
}

/// Reads where to listen: an address, a port alone for every address of this machine, or a name of this machine.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    let wrong = || {
        format!("{text:?} is no address to listen at: 127.0.0.1:8080, [::1]:8080, localhost:8080 or :8080")
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse::<u16>().map_err(|_| wrong())?;
    if host.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    if host.contains([':', '[', ']', '/', '@']) || host.chars().any(char::is_whitespace) {
        return Err(wrong());
    }
    let found =
        (host, port).to_socket_addrs().map_err(|error| format!("{host:?} has no address: {error}"))?;
    // Who says `localhost` means what most clients try first.
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| format!("{host:?} has no address"))
}

/// [`listen`] for serde.
pub(super) fn de_listen<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    listen(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

/// [`addr`] for serde.
pub(super) fn de_addr<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    addr(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

/// [`duration::parse`] for serde.
pub(super) fn de_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration::parse(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

/// Whatever reads itself from a text, for serde.
pub(super) fn de_text<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
}

/// [`SampleRatio`] for serde: a number, or its text.
pub(super) fn de_ratio<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SampleRatio>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a number from 0 to 1")]
    enum Ratio {
        Whole(u8),
        Part(f64),
        Text(String),
    }
    let text = match Ratio::deserialize(from)? {
        Ratio::Whole(whole) => whole.to_string(),
        Ratio::Part(part) => part.to_string(),
        Ratio::Text(text) => text,
    };
    text.parse().map(Some).map_err(D::Error::custom)
}

/// [`MeshVersion`] for serde: a number, or its text.
pub(super) fn de_mesh_version<'de, D: Deserializer<'de>>(from: D) -> Result<Option<MeshVersion>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected the number of a version")]
    enum Version {
        Number(u8),
        Text(String),
    }
    let text = match Version::deserialize(from)? {
        Version::Number(number) => number.to_string(),
        Version::Text(text) => text,
    };
    text.parse().map(Some).map_err(D::Error::custom)
}

/// A path for serde. The folder or file without a name is none.
pub(super) fn de_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    match PathBuf::deserialize(from)? {
        path if path.as_os_str().is_empty() => {
            Err(D::Error::custom("a path is not empty; leave the line out"))
        }
        path => Ok(Some(path)),
    }
}

/// A list for serde: a TOML array, or one text with commas as in the environment.
pub(super) fn de_list<'de, D: Deserializer<'de>, T: From<String>>(from: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list of texts, or one text with commas")]
    enum List {
        One(String),
        Many(Vec<String>),
    }
    let items = match List::deserialize(from)? {
        List::One(text) => text.split(',').map(str::to_owned).collect(),
        List::Many(items) => items,
    };
    Ok(items.into_iter().map(T::from).collect())
}
