//! Everything that passes between nodes: one UDP port, QUIC with mutual TLS.
//!
//! ```text
//!   endpoint ── accepts and dials ──► handshake (TLS identity, then Hello) ──► Link ──► Links
//!
//!   a Link, in each direction:   datagrams + short streams   gossip
//!                                other streams               what is registered, such as sections
//!                                LANES streams               requests, ordered by user
//!                                1 stream                    receipts, batched
//! ```
//!
//! A [`Link`] is the one QUIC connection that is in use to a peer; [`Links`] finds it by the peer's
//! name and dials in the background. Every queue is bounded and every length is checked before
//! anything is allocated for it. What streams mean is not known here: each kind has a handler that the composition
//! root registers, see [`carried`].

mod admission;
mod attached;
pub(crate) mod bucket;
pub(crate) mod carried;
pub(crate) mod codec;
pub(crate) mod conduct;
pub(crate) mod contest;
pub(crate) mod dials;
pub(crate) mod endpoint;
pub(crate) mod frame;
pub(crate) mod fuzz;
pub(crate) mod gossip;
pub(crate) mod handshake;
pub(crate) mod identity;
mod lane;
mod link;
mod links;
pub(crate) mod mailbox;
mod mailboxes;
pub(crate) mod meeting;
mod members;
pub(crate) mod notice;
mod offenders;
mod outbound;
pub(crate) mod probing;
mod receipts;
pub(crate) mod refusal;
mod requests;
mod running;
pub(crate) mod stream;
mod timer;
pub(crate) mod version;

pub(crate) use frame::{Features, KnownMember};
pub use identity::{ClusterKey, ClusterKeyError, ClusterKeys, ClusterKeysError, HashKey, HashKeyError};
pub(crate) use link::{Link, Peer};
pub(crate) use links::{GossipOut, Links, LinksParts};
pub(crate) use members::Members;
pub(crate) use receipts::{AnswerKind, Expected, Refused};
pub(crate) use requests::{LaneStreams, ReceiptStreams, RequestHandler};
