//! Who is in the cluster, and which of them can be reached from here.
//!
//! Two sources are put together. chitchat spreads a small advert of each node by gossip and says,
//! with a phi-accrual failure detector, whose heartbeats still arrive. The mesh says which direct
//! links work. The [`overlay`] makes one state per member of both, by a pure state machine, and
//! that state is local: it is never replicated, because "I cannot reach it" is true for one node
//! and not for another.
//!
//! ```text
//!   gossip::Gossip ── views ──┐
//!                             ├──► overlay::Overlay ── changes ──► router, directory, metrics
//!   mesh links ── up/down ────┘
//! ```
//!
//! Nothing here knows sessions: chitchat's key-value store is one UDP payload wide, and the
//! directory has streams of its own.

pub(crate) mod effect;
pub(crate) mod gossip;
pub(crate) mod incarnation;
pub(crate) mod member;
pub(crate) mod overlay;
pub(crate) mod roster;
