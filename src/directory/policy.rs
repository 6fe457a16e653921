//! The rules of the takeover policy: which of two claims wins, who may connect, who is asked to let go, who has to, and
//! who is asked again.
//!
//! | when | rule |
//! |---|---|
//! | two claims of one key are seen | [`beats`]: which session ends; [`leads`]: which one pushes follow |
//! | a user has more sessions than the policy leaves it | [`excluded`] |
//! | a client wants to connect | [`admit`], judged by what the directory shows |
//! | before the claim | [`door()`]: whether another session is in its way, ends first, or has to be asked for, where the policy [`asks_first`] |
//! | at the claim | [`may_claim`] again, under the lock; [`exceeds`] and [`state`] make the claim; [`displaced`]: what it excludes |
//! | after the claim | [`asked_after`]: whoever holds what the claim excludes |
//! | another node asks | [`yields`], and [`says_so`] |
//! | a claim of this node has lost | [`fate`], and [`opposition`] for as long as it is disputed |
//!
//! All of it is pure, and no other file decides by a [`Takeover`](crate::config::Takeover) what becomes of a claim. In which
//! order the rules are asked is written in [`Opening`](crate::ownership::Opening) and
//! [`Dispute`](crate::ownership::Dispute).

mod door;
mod losing;
mod precedence;
mod room;
mod yielding;

pub use door::{Door, Refusal, admit, asks_first, door, may_claim, state};
pub use losing::{Fate, Opposition, fate, opposition};
pub use precedence::{Contender, beats, leads};
pub use room::{Exceeds, displaced, exceeds, excluded};
pub use yielding::{Claiming, Holding, asked_after, says_so, yields};
