//! Who may be the session of a key: every rule, and the order of the steps.
//!
//! ```text
//!   a client connects ──► Opening ──► Claim, Ask … ──► Open or Refuse
//!   a claim has lost  ──► fate ──► Ending, or Dispute ──► Look, Ask, Start … ──► Close or Over
//!   a peer asks       ──► yields, stays, confirms, elsewhere ──► Answer
//!   a session is over ──► released_after
//! ```
//!
//! All of it is pure. [`Opening`] and [`Dispute`] are state machines: what the directory shows, answers and elapsed
//! timers in, effects out. `router/lease.rs`, `router/supersede.rs` and `router/owner.rs` do the effects over the links;
//! the fast level of the simulation does them over a queue, and decides none of it. The rules that the steps follow are the
//! [`policy`](crate::directory::policy)'s.

mod asking;
mod dispute;
mod ending;
mod opening;
mod question;
#[cfg(test)]
mod tests;
mod timer;

pub use dispute::{Dispute, Effect as DisputeEffect};
pub use ending::{Ending, Yielding, confirms, elsewhere, released_after, stays, yields};
pub use opening::{Effect as OpeningEffect, Opening};
pub use question::{Answer, Ask, Question, is_asked};
pub use timer::Timer;
