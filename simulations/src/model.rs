//! The fast level: the pure parts of the product (directory and overlay) in a plain loop of events.
//!
//! ```text
//!   seed ─► Plan ─► steps ──┐
//!                           ▼                       ┌─► Directory, View ─► lost sessions
//!            Queue ── (time, event) ─► Cluster ─► Boot
//!                           ▲                       └─► Overlay ─► changes
//!                           └── messages, timers ───────┘
//! ```
//!
//! A run of the whole node takes a second; here a thousand runs do, on two cores. The code that decides is the
//! product's own, called without a task, a socket or a clock. The model's own is what surrounds it: time, the network and
//! its links, a stand-in for chitchat, and what a node does about a decision. QUIC and the gateway
//! are not here: what the pure parts promise has to hold whatever those do.

mod boot;
mod booting;
mod checks;
mod claims;
mod client;
mod cluster;
mod comparison;
mod course;
mod due;
pub(crate) mod fast;
mod following;
mod gossip;
mod history;
mod id;
mod linking;
mod liveness;
mod members;
mod message;
mod network;
mod plan;
mod queue;
mod quorum;
mod record;
mod run;
mod serving;
mod sessions;
mod stream;
