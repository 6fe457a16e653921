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
//! id limits hash host json attributes current key position push trace text_file wire ◄─ receipt config token metrics vital ◄─ section
//!     ◄─ directory membership quorum session ◄─ events ownership ◄─ replica ◄─ mesh ◄─ replication copies ◄─ router ◄─ handle handler
//!     ◄─ gateway ◄─ node ◄─ cli internals
//! ```
//!
//! The directory, the liveness overlay, the steps of ownership, the outbox, the heartbeat, the
//! routing decision and the readiness of a node are pure: input and time in, outputs out, no clock, lock, task or entropy.
//!
//! # Embedding a node
//!
//! A program gives a [`Config`], a [`Wire`], and a [`Handler`] for what clients say to [`Node::start_with`]. It pushes by
//! the [`NodeHandle`] of the node, which its handler gets with every call. This one answers its clients:
//!
//! ```
//! use std::sync::Arc;
//!
//! # use futures_util::{SinkExt, StreamExt};
//! use pushmesh::{Config, Handler, Node, NodeHandle, NodeName, Payload, SessionInfo, Target, Wire, async_trait};
//!
//! struct Echo;
//!
//! #[async_trait]
//! impl Handler for Echo {
//!     async fn on_message(&self, node: &NodeHandle, session: &SessionInfo, message: Payload) {
//!         // An answer is a push to the session that asks. The report says whether the socket took it.
//!         let answered = node.push(Target::Session(session.key.clone()), message, None).await;
//!         if !answered.is_ok_and(|report| report.delivered() == 1) {
//!             eprintln!("{} did not get its answer", session.key);
//!         }
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::dev(NodeName::new("n1")?);
//! let wire = Wire::bind(config.listen, config.mesh_listen).await?;
//! let node = Node::start_with(config, wire, Arc::new(Echo)).await?;
//! node.ready().await;
//!
//! let url = format!("ws://{}/v1/ws?user=42", node.http_addr());
//! // A client that connects there and says "hello" hears "hello".
//! # let socket = tokio::net::TcpStream::connect(node.http_addr()).await?;
//! # let (mut client, _) = tokio_tungstenite::client_async(url, socket).await?;
//! # client.send("hello".into()).await?;
//! # assert_eq!(client.next().await.ok_or("no answer")??.into_text()?, "hello");
//!
//! node.shutdown().await; // Clients are told to come back elsewhere.
//! # Ok(())
//! # }
//! ```
//!
//! | for | see |
//! |---|---|
//! | a node with keys, and its peers | [`Config::new`]; [`config::RawConfig`] reads a file |
//! | pushing, broadcasting, disconnecting, who is connected | [`NodeHandle`] |
//! | how long a push may wait for a client that is away, and what its report waits for | [`NodeHandle::push_on`], [`Terms`], [`Wait`] |
//! | what an application keeps with a session | [`Attributes`], [`NodeHandle::attributes`] |
//! | what became of a push at each session | [`PushReport`], [`Outcome`]; [`Knowledge`] where nobody was found |
//! | letting clients in, hearing them and their end | [`Handler`] |
//! | a node that cannot go on | [`Node::failed`] |
//! | bounds, and what happens at each | [`limits`] |
//!
//! The node serves the HTTP API and its metrics beside the WebSocket, and logs by `tracing`. Run it on tokio's
//! multi-threaded runtime.
//!
//! # Features
//!
//! `cli`, on by default: the binary, its commands, the flags of [`config::RawConfig`], and the crates that only they
//! need. A program that embeds a node does without:
//!
//! ```toml
//! pushmesh = { version = "0.1", default-features = false }
//! ```

pub mod attributes;
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

mod copies;
mod current;
mod directory;
mod events;
mod gateway;
mod hash;
mod host;
mod json;
mod key;
mod membership;
mod mesh;
mod metrics;
mod ownership;
mod position;
mod quorum;
mod receipt;
mod replica;
mod replication;
mod router;
mod section;
mod session;
mod text_file;
mod token;
mod trace;
mod vital;

pub use async_trait::async_trait;
pub use attributes::{Attributes, MergePatch};
pub use config::Config;
pub use handle::NodeHandle;
pub use handler::{Handler, SessionInfo};
pub use id::{DeviceId, LoginId, MessageId, NodeName, SessionKey, UserId};
pub use mesh::{ClusterKey, ClusterKeyError, ClusterKeys, ClusterKeysError, HashKey, HashKeyError};
pub use node::Node;
pub use push::{BroadcastReport, Knowledge, Outcome, Payload, PushReport, Reached, Target, Terms, Wait};
pub use wire::Wire;
