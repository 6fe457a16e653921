//! Who is let in.

pub(super) mod takeover;
