//! What the tests of the machines share.

use crate::directory::{ClaimState, Owned, Rival};
use crate::ownership::question::{Ask, Question};

pub(super) use crate::directory::tests::{DEVICE, name, stamp};

pub(super) fn owned(owner: &str, raw: u64) -> Owned {
    crate::directory::tests::owned(owner, raw, ClaimState::Connected)
}

/// The question to let go of the session of [`DEVICE`].
pub(super) fn to_yield(number: u64, owner: &str, below: u64) -> Ask {
    let question = Question::Yield { device: DEVICE, below: stamp(below), rival: Rival::SameDevice };
    Ask { number, owner: name(owner), question }
}

/// The question whether the session of that claim of [`DEVICE`] is there.
pub(super) fn to_confirm(number: u64, owner: &str, raw: u64) -> Ask {
    let question = Question::Confirm { device: DEVICE, stamp: stamp(raw) };
    Ask { number, owner: name(owner), question }
}
