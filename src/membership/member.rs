//! What is said about a member: its state as seen from here, and its advert as said by itself.
//!
//! The advert travels as a few text pairs in chitchat's key-value store. A key that this version
//! does not know is ignored, so that a newer node can say more; a key that is missing or cannot be
//! read makes the whole advert unreadable, because half an advert would be believed. The keys that
//! the first version did not have may be missing.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::{Incarnation, NodeName};
use crate::metrics::label::{Label as _, Member};

/// How this node judges a member. The rules stand in `overlay.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Gossip hears it and the direct link works.
    Alive,
    /// Gossip hears it, the direct link is down.
    Unreachable,
    /// Gossip does not hear it, or its link is silent. Still tried, its sessions still shown.
    Suspect,
    /// Suspect for long enough, silent, and a dial failed. Its sessions are hidden.
    Dead,
    /// Dead for so long that what it owned was freed. No longer listed.
    Purged,
    /// A later boot of the same node was seen. No longer listed.
    Superseded,
    /// It said that it left, and it owns nothing any more. No longer listed.
    Left,
}

impl MemberState {
    /// The name, as in the API, in logs and as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.label().as_str()
    }

    /// Whether a hello, or an answer to a probe, names such a member: no peer is sent to one that this node does not reach
    /// itself.
    #[must_use]
    pub fn is_told(self) -> bool {
        self == Self::Alive
    }

    fn label(self) -> Member {
        match self {
            Self::Alive => Member::Alive,
            Self::Unreachable => Member::Unreachable,
            Self::Suspect => Member::Suspect,
            Self::Dead => Member::Dead,
            Self::Purged => Member::Purged,
            Self::Superseded => Member::Superseded,
            Self::Left => Member::Left,
        }
    }

    /// Whether an incarnation in this state is gone from the list of members.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Purged | Self::Superseded | Self::Left)
    }
}

/// Where a node is in its own life, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdvertState {
    /// It has not copied all sections yet; pushes may be sent to it, clients should not.
    Joining,
    /// It serves.
    Ready,
    /// It stops: it takes no new clients and still delivers to those it has.
    Draining,
    /// It stopped on purpose.
    Left,
}

impl AdvertState {
    /// The name, as in gossip and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Left => "left",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Joining, Self::Ready, Self::Draining, Self::Left]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// What a node says of itself through gossip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advert {
    /// Where it is in its life.
    pub state: AdvertState,
    /// Version of the mesh protocol that it speaks.
    pub protocol: u16,
    /// Its mesh address, for peers.
    pub mesh: SocketAddr,
    /// Its HTTP address, for operators; shown, never parsed.
    pub http: String,
    /// Its failure domain, when it has one.
    pub zone: Option<String>,
    /// About how many sessions it owns; see `bucket`.
    pub sessions: u64,
    /// It doubts itself, because most of its peers fell silent together.
    pub degraded: bool,
    /// It keeps messages for clients that are away.
    pub keeps: bool,
}

/// Every key of an advert. [`Advert::from_pairs`] needs all but those in [`OPTIONAL_KEYS`].
pub(crate) const KEYS: [&str; 8] =
    [KEY_STATE, KEY_PROTOCOL, KEY_MESH, KEY_HTTP, KEY_ZONE, KEY_SESSIONS, KEY_DEGRADED, KEY_KEEPS];

/// Keys that an advert may do without: what is not always so, and what an older node does not say.
const OPTIONAL_KEYS: [&str; 3] = [KEY_ZONE, KEY_DEGRADED, KEY_KEEPS];

const KEY_STATE: &str = "state";
const KEY_PROTOCOL: &str = "protocol";
const KEY_MESH: &str = "mesh";
const KEY_HTTP: &str = "http";
const KEY_ZONE: &str = "zone";
const KEY_SESSIONS: &str = "sessions";
const KEY_DEGRADED: &str = "degraded";
const KEY_KEEPS: &str = "keeps";

/// Keys of one advert. Source: design; chitchat sends a member's whole state in one UDP payload.
const KEYS_MAX: usize = 16;

const _: () = assert!(KEYS.len() <= KEYS_MAX && OPTIONAL_KEYS.len() < KEYS.len());

impl Advert {
    /// The pairs that gossip carries; the session count is bucketed if it was not.
    #[must_use]
    pub(crate) fn to_pairs(&self) -> Vec<(String, String)> {
        let mut pairs = vec![
            (KEY_STATE.to_owned(), self.state.as_str().to_owned()),
            (KEY_PROTOCOL.to_owned(), self.protocol.to_string()),
            (KEY_MESH.to_owned(), self.mesh.to_string()),
            (KEY_HTTP.to_owned(), self.http.clone()),
            (KEY_SESSIONS.to_owned(), bucket(self.sessions).to_string()),
            (KEY_DEGRADED.to_owned(), self.degraded.to_string()),
            (KEY_KEEPS.to_owned(), self.keeps.to_string()),
        ];
        if let Some(zone) = &self.zone {
            pairs.push((KEY_ZONE.to_owned(), zone.clone()));
        }
        debug_assert!(pairs.iter().all(|(key, _)| KEYS.contains(&key.as_str())));
        pairs
    }

    /// Reads what a peer says of itself. Keys that are not known are ignored.
    ///
    /// # Errors
    /// [`AdvertError`] names the first key that is missing or cannot be read.
    pub(crate) fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, AdvertError> {
        let mut values: [Option<&str>; KEYS.len()] = [None; KEYS.len()];
        for (key, value) in pairs {
            if let Some(at) = KEYS.iter().position(|known| *known == key) {
                values[at] = Some(value);
            }
        }
        let [state, protocol, mesh, http, zone, sessions, degraded, keeps] = values;
        Ok(Self {
            state: read(KEY_STATE, state, AdvertState::parse)?,
            protocol: read(KEY_PROTOCOL, protocol, |text| text.parse().ok())?,
            mesh: read(KEY_MESH, mesh, |text| text.parse().ok())?,
            http: read(KEY_HTTP, http, |text| Some(text.to_owned()))?,
            zone: zone.map(str::to_owned),
            sessions: read(KEY_SESSIONS, sessions, |text| text.parse().ok())?,
            degraded: read(KEY_DEGRADED, degraded.or(Some("false")), |text| text.parse().ok())?,
            keeps: read(KEY_KEEPS, keeps.or(Some("false")), |text| text.parse().ok())?,
        })
    }
}

fn read<T>(
    key: &'static str,
    value: Option<&str>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, AdvertError> {
    let text = value.ok_or(AdvertError::Missing { key })?;
    parse(text).ok_or_else(|| AdvertError::Garbled { key, value: text.chars().take(SHOWN_CHARS).collect() })
}

/// Characters of a garbled value that its error shows. Guess: enough to recognise it in a log.
const SHOWN_CHARS: usize = 64;

/// Why an advert cannot be read. Nothing of it is believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AdvertError {
    /// A key is not there, because it has not arrived yet or because the peer does not send it.
    #[error(
        "the advert has no {key:?}; it may still be on its way, otherwise compare the versions of the nodes"
    )]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A value is not of the kind that its key asks for.
    #[error(
        "the advert says {value:?} for {key:?}, which this version cannot read; \
         compare the versions of the nodes"
    )]
    Garbled {
        /// The key.
        key: &'static str,
        /// The beginning of the value.
        value: String,
    },
}

/// Rounds a session count to two significant decimal digits, so that a node with many sessions
/// does not rewrite its advert on each connect. Below 100 it is exact; applying it twice changes
/// nothing.
#[must_use]
pub(crate) fn bucket(sessions: u64) -> u64 {
    let mut unit = 1;
    while sessions / unit >= 100 {
        unit *= 10;
    }
    sessions.saturating_add(unit / 2) / unit * unit
}

/// One member as gossip shows it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GossipView {
    /// Its name.
    pub name: NodeName,
    /// Its boot.
    pub incarnation: Incarnation,
    /// The mesh address under which it gossips.
    pub addr: SocketAddr,
    /// Whether the failure detector hears it.
    pub live: bool,
    /// Its heartbeat counter, as far as it got here.
    pub heartbeat: u64,
    /// What it says of itself; `None` until that arrived, or when it cannot be read.
    pub advert: Option<Advert>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advert() -> Advert {
        Advert {
            state: AdvertState::Ready,
            protocol: 3,
            mesh: SocketAddr::from(([10, 0, 0, 1], 7400)),
            http: "10.0.0.1:8080".to_owned(),
            zone: Some("a".to_owned()),
            sessions: 42,
            degraded: true,
            keeps: true,
        }
    }

    fn parse(pairs: &[(String, String)]) -> Result<Advert, AdvertError> {
        Advert::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }

    #[test]
    fn peers_are_told_of_members_in_order_only() {
        assert!(MemberState::Alive.is_told());
        for state in [MemberState::Unreachable, MemberState::Suspect, MemberState::Dead, MemberState::Left] {
            assert!(!state.is_told(), "{state:?}");
        }
    }

    #[test]
    fn an_advert_survives_the_way_through_pairs_with_and_without_what_is_optional() {
        let with = advert();
        assert_eq!(parse(&with.to_pairs()), Ok(with.clone()));
        let without = Advert { zone: None, degraded: false, keeps: false, ..with };
        assert_eq!(parse(&without.to_pairs()), Ok(without));
    }

    #[test]
    fn a_key_of_a_newer_version_is_ignored() {
        let mut pairs = advert().to_pairs();
        pairs.push(("colour".to_owned(), "blue".to_owned()));
        assert_eq!(parse(&pairs), Ok(advert()));
    }

    #[test]
    fn every_key_is_needed_but_the_zone_and_those_that_an_older_node_does_not_say() {
        for key in KEYS {
            let mut pairs = advert().to_pairs();
            pairs.retain(|(found, _)| found != key);
            let expected = match key {
                KEY_ZONE => Ok(Advert { zone: None, ..advert() }),
                KEY_DEGRADED => Ok(Advert { degraded: false, ..advert() }),
                KEY_KEEPS => Ok(Advert { keeps: false, ..advert() }),
                _ => Err(AdvertError::Missing { key }),
            };
            assert_eq!(parse(&pairs), expected, "without {key}");
            assert_eq!(expected.is_ok(), OPTIONAL_KEYS.contains(&key), "{key}");
        }
    }

    #[test]
    fn a_value_that_can_not_be_read_is_refused_and_named() {
        for (key, value) in [
            (KEY_STATE, "asleep"),
            (KEY_PROTOCOL, "70000"),
            (KEY_MESH, "localhost"),
            (KEY_SESSIONS, "-1"),
            (KEY_DEGRADED, "perhaps"),
            (KEY_KEEPS, "perhaps"),
        ] {
            let mut pairs = advert().to_pairs();
            for pair in &mut pairs {
                if pair.0 == key {
                    pair.1 = value.to_owned();
                }
            }
            assert_eq!(parse(&pairs), Err(AdvertError::Garbled { key, value: value.to_owned() }));
        }
    }

    #[test]
    fn state_names_are_the_same_in_json_and_in_text() {
        use MemberState::{Alive, Dead, Left, Purged, Superseded, Suspect, Unreachable};
        for state in [Alive, Unreachable, Suspect, Dead, Purged, Superseded, Left] {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{}\"", state.as_str()));
            assert_eq!(serde_json::from_str::<MemberState>(&json).unwrap(), state);
        }
    }

    #[test]
    fn a_bucket_keeps_two_digits_and_is_stable() {
        for (sessions, expected) in
            [(0, 0), (7, 7), (99, 99), (104, 100), (105, 110), (12_345, 12_000), (996, 1_000)]
        {
            assert_eq!(bucket(sessions), expected, "of {sessions}");
        }
        for sessions in [0, 99, 100, 995, 12_345, u64::MAX - 1, u64::MAX] {
            assert_eq!(bucket(bucket(sessions)), bucket(sessions), "of {sessions}");
        }
    }
}
