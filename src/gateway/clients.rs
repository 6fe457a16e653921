//! The clients' side: from a request to the task behind a session.
//!
//! ```text
//!   transport ──► admission ──► claim ──► run ──► connection
//!   (WebSocket)                                   (one task a client) ──► dialect
//! ```
//!
//! `admission` decides who is let in. A `transport` carries a client's bytes, and knows how they are
//! framed. `run` gives a client that is let in its session, and `connection` is the task behind it. A `dialect`
//! says what messages mean.

pub(super) mod admission;
mod connection;
pub(super) mod dialect;
mod run;
pub(super) mod transport;
