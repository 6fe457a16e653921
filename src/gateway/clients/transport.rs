//! The ways on which clients are connected: one folder for each.

pub(in crate::gateway) mod ws;
