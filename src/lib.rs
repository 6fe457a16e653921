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
//! id limits hash host json key push text_file wire ◄─ receipt config token metrics vital ◄─ directory membership session
//!                     ◄─ replica ◄─ mesh ◄─ replication ◄─ router ◄─ handle handler ◄─ gateway ◄─ node ◄─ cli internals
//! ```
//!
//! The directory, the liveness overlay, the outbox, the heartbeat, the routing decision and the
//! readiness of a node are pure: input and time in, outputs out, no clock, lock, task or entropy.
//!
//! # Features
//!
//! `cli`, on by default: the binary, its commands, the flags of [`config::RawConfig`], and the crates that
//! only they need. A program that embeds a node does without:
//!
//! ```toml
//! pushmesh = { version = "0.1", default-features = false }
//! ```
//!
//! # Embedding a node
//!
//! ```
//! use pushmesh::{Config, Node, NodeName, Payload, Target, UserId, Wire};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::dev(NodeName::new("n1")?);
//! let wire = Wire::bind(config.listen, config.mesh_listen).await?;
//! let node = Node::start(config, wire).await?;
//! node.ready().await;
//!
//! // Clients connect to ws://{node.http_addr()}/v1/ws?user=42
//! let user = UserId::new("42")?;
//! let report = node.handle().push(Target::User(user), Payload::text("hello"), None).await?;
//! assert_eq!(report.delivered(), 0, "nobody is connected yet");
//!
//! node.shutdown().await;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod handle;
pub mod handler;
pub mod id;
#[doc(hidden)]
pub mod internals;
pub mod limits;
pub mod node;
pub mod push;
pub mod wire;

mod directory;
mod gateway;
mod hash;
mod host;
mod json;
mod key;
mod membership;
mod mesh;
mod metrics;
mod receipt;
mod replica;
mod replication;
mod router;
mod session;
mod text_file;
mod token;
mod vital;

pub use async_trait::async_trait;
pub use config::Config;
pub use handle::NodeHandle;
pub use handler::{Handler, SessionInfo};
pub use id::{DeviceId, MessageId, NodeName, SessionKey, UserId};
pub use mesh::{ClusterKey, ClusterKeyError, HashKey, HashKeyError};
pub use node::Node;
pub use push::{BroadcastReport, Knowledge, Outcome, Payload, PushReport, Target};
pub use wire::Wire;
