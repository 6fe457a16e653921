//! pushmesh: WebSocket push on a cluster, with no broker.
//!
//! Run the binary on several machines, name a few peers, and the machines form a cluster that holds
//! WebSocket clients and delivers a push made at *any* node to the *one* node that holds the
//! target's connection. Three sentences carry the architecture, and the modules are named after
//! them:
//!
//! 1. Nodes form a gossip **membership** ring.
//! 2. They replicate a session-ownership **directory** with CRDT merges.
//! 3. Each push is **routed** over the **mesh** straight to the owner, whose **session** writes it
//!    to the socket that the **gateway** accepted.
//!
//! # The layer rule
//!
//! A module uses those to its left and never those to its right; `tests/tidy.rs` checks it.
//!
//! ```text
//! id limits push wire ◄─ receipt config token handler metrics ◄─ directory membership session
//!                     ◄─ replica ◄─ mesh ◄─ router ◄─ gateway ◄─ node ◄─ cli
//! ```
//!
//! The directory, the liveness overlay, the outbox, the heartbeat, the routing decision and the
//! readiness of a node are pure: input and time in, outputs out, no clock, lock, task or entropy.

#![expect(dead_code, unused_imports, reason = "the gateway and the node that use these parts follow")]

pub mod config;
pub mod handler;
pub mod id;
pub mod limits;
pub mod push;
pub mod wire;

mod directory;
mod membership;
mod mesh;
mod metrics;
mod receipt;
mod replica;
mod router;
mod session;
mod token;

pub use config::Config;
pub use handler::{Handler, SessionInfo};
pub use id::{DeviceId, MessageId, NodeName, SessionKey, UserId};
pub use mesh::{ClusterKey, ClusterKeyError};
pub use push::{BroadcastReport, Outcome, Payload, PushReport, Target};
pub use wire::Wire;
