//! What other nodes hold of the messages that a node has accepted for its clients, and who may still write them.
//!
//! ```text
//!                  Open, Append, Follow, Trim, Propose
//!    GroupOwner ───────────────────────────────────────► GroupMember ◄──────── Seal ──────── Takeover
//!    (writes)   ◄─────────────────────────────────────── (holds)     ── Tail, Newer, … ───►  (takes over from
//!               Acked, refused keys, Accepted                        ◄──────── Release ────   all former owners)
//! ```
//!
//! The sessions of a node are in groups. Each group has *members*: boots of other nodes that hold its messages. Which these are is
//! its *configuration*, with an *epoch* that grows with each change. A message is *stored* once [`STORED_AT`](crate::limits::STORED_AT)
//! members have it. Whoever takes a session over *seals* it: it sets a *fence* at so many members that none of the rest could store
//! anything by themselves, and reads what they hold in the same step. From then on the former owner stores nothing more of that
//! session. It does so in the groups of all who have owned the session since its client was told of it, writes what it has taken into its own
//! group, and has it *released* where it was.
//!
//! | what could go wrong | what stands against it |
//! |---|---|
//! | a stored message is missed by whoever seals | so many members store and so many are sealed that one did both: [`Config::is_sealed`] |
//! | a message is stored behind the fence | a member refuses what is below its fence, and says so with each acknowledgement until it is given all again |
//! | members change while a session is sealed | a configuration is in effect once enough members of the one before have accepted it. They answer with their fences, and tell whoever seals of the newer one |
//! | whoever seals is told of a change that is not in effect | it seals all that may be in effect |
//! | a message is stored by members that are about to go | a configuration is in effect once enough of its members have all that is stored. Until then the members before are sealed too |
//! | whoever is asked has handed the session on | its members name who has taken it over, until one of those has all of it |
//! | whoever is asked has not got all of it yet | it tells its members whose groups it *follows* before it writes anything else, and before its client is told of it |
//! | something is released before it is held elsewhere | it is released by its positions, and only once members of the new owner have all that was taken |
//! | a release removes what an owner has taken back | what is held keeps the claim that it was written by, and a release counts for what lower claims have written |
//! | a new member knows nothing yet | it is opened with all that is held, before it is a member |
//! | a node that restarted has forgotten what it held | members are boots. A new boot is a member only once it was opened |
//!
//! All of it is pure: frames in, frames out. It is generic over what is held.

mod effect;
mod entries;
mod frame;
mod group;
mod map;
mod member;
mod owner;
mod progress;
mod sealing;
mod takeover;
#[cfg(test)]
mod tests;

pub use effect::{Deposed, News, OwnerEffect};
pub use frame::{Accepted, Acked, Entry, Held, Op, Opened, Refusal, Release, Seal, SealAnswer, ToMember};
pub(crate) use group::Looked;
pub use group::{Boot, Config, Fence};
pub use member::GroupMember;
pub use owner::GroupOwner;
pub use takeover::{Takeover, TakeoverEffect};
