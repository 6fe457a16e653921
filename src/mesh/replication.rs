//! How sections travel: one ordered stream for each copy that follows its owner, and short ones that
//! fetch what a stream could not bring.
//!
//! ```text
//!   taker ── Subscribe{owner, position, follow} ──► holder
//!        ◄── Head{digest} ── Delta* ── (Begin Chunk* Delta* End) ── Delta* …
//! ```
//!
//! [`serve`] is the holder's side: an owner that is followed for as long as the link lives, or any
//! node that serves its exact copy once. [`follow`] and [`pull`] are the taker's side. Which section
//! is to be pulled from whom is decided in [`anti_entropy`](crate::mesh::anti_entropy).

mod serve;
mod take;

pub(super) use serve::serve;
pub(super) use take::{TakeError, follow, pull};
