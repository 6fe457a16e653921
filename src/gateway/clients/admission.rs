//! Who is let in.

pub(in crate::gateway) mod credentials;
pub(super) mod takeover;
