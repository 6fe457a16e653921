//! The clients' side: from a request to the task behind a session.
//!
//! ```text
//!   transport ──► admission ──► claim ──► connection
//!   (WebSocket)                           (one task a client) ──► dialect
//! ```
//!
//! `admission` decides who is let in. A `transport` carries a client's bytes, and knows how they are
//! framed. `connection` is the task of one client. A `dialect` says what messages and frames mean.

pub(super) mod admission;
mod connection;
pub(super) mod dialect;
pub(super) mod transport;
