//! What the tests of the machines share.

use crate::directory::{ClaimState, Owned, Rival};
use crate::id::{Incarnation, NodeName, Stamp};
use crate::key::DeviceHash;
use crate::ownership::question::{Ask, Question};

pub(super) const DEVICE: DeviceHash = DeviceHash(1);

pub(super) fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

pub(super) fn stamp(raw: u64) -> Stamp {
    Stamp::from_raw(raw)
}

pub(super) fn owned(owner: &str, raw: u64) -> Owned {
    let (incarnation, state) = (Incarnation(1), ClaimState::Connected);
    Owned { owner: name(owner), incarnation, stamp: stamp(raw), state }
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
