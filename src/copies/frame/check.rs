//! What no working node says of logs: more than a frame is to list, of groups that there are not, or in the name of another boot.
//!
//! Whoever says so breaks the protocol. What is refused here is counted on behind it: an answer of this node, or what it writes into a
//! log, fits a frame because what it is made of did.

use crate::copies::frame::{LISTED_MAX, LogAnswer, LogFrame};
use crate::copies::group::GROUPS;
use crate::limits;
use crate::mesh::codec::{CodecError, bounded_list};
use crate::position::Position;
use crate::quorum::{
    Accepted, Acked, Boot, Config, Entry, Fence, Held, Op, Opened, Release, SealAnswer, ToMember,
};

impl<M> LogFrame<M> {
    /// Checks what that boot has sent.
    ///
    /// # Errors
    /// [`CodecError::Oversize`] and [`CodecError::Header`].
    pub(in crate::copies) fn check(&self, from: &Boot) -> Result<(), CodecError> {
        match self {
            Self::Part { group, held } => is_group(*group).and_then(|()| is_held(held)),
            Self::ToMember { group, frame } => is_group(*group).and_then(|()| is_told(frame)),
            Self::Announced { group, config } => is_group(*group).and_then(|()| is_config(config)),
            Self::Release { release, .. } => is_of(&release.fence, from).and_then(|()| is_release(release)),
            Self::Seal { seal, .. } => is_of(&seal.fence, from),
        }
    }
}

impl<M> LogAnswer<M> {
    /// Checks an answer.
    ///
    /// # Errors
    /// [`CodecError::Oversize`] and [`CodecError::Header`].
    pub(in crate::copies) fn check(&self) -> Result<(), CodecError> {
        match self {
            Self::Read | Self::Full => Ok(()),
            Self::Opened(group, Opened { acked, .. }) | Self::Acked(group, acked) => {
                is_group(*group).and_then(|()| is_acked(acked))
            }
            Self::Accepted(group, Accepted { fences, .. }) => {
                is_group(*group).and_then(|()| bounded_list("fences", fences.len(), LISTED_MAX))
            }
            Self::Part { entries, .. } => are_entries(entries),
            Self::Sealed { answer, .. } => match answer {
                SealAnswer::Tail { configs, entries, beyond, .. } => {
                    are_configs(configs)?;
                    are_entries(entries)?;
                    are_owners(beyond)
                }
                SealAnswer::Newer(configs) => are_configs(configs),
                SealAnswer::Unknown | SealAnswer::Refused(_) => Ok(()),
            },
            Self::Known { group, config, .. } => is_group(*group).and_then(|()| is_config(config)),
        }
    }
}

fn is_told<M>(frame: &ToMember<M>) -> Result<(), CodecError> {
    match frame {
        ToMember::Open { config, held, .. } => is_config(config).and_then(|()| is_held(held)),
        ToMember::Logged { op, .. } => is_op(op),
        ToMember::Propose { configs } => are_configs(configs),
    }
}

fn is_op<M>(op: &Op<M>) -> Result<(), CodecError> {
    match op {
        Op::Append(entry) => is_position(entry.at),
        Op::Follow { owners, .. } => are_owners(owners),
        Op::Release(release) => is_release(release),
        Op::Trim { .. } | Op::Drop { .. } | Op::Fence { .. } => Ok(()),
    }
}

fn is_held<M>(Held { entries, follows, fences }: &Held<M>) -> Result<(), CodecError> {
    are_entries(entries)?;
    bounded_list("sessions", follows.len(), LISTED_MAX)?;
    follows.iter().try_for_each(|(_, _, owners)| are_owners(owners))?;
    bounded_list("fences", fences.len(), LISTED_MAX)
}

fn are_entries<M>(entries: &[Entry<M>]) -> Result<(), CodecError> {
    bounded_list("messages", entries.len(), limits::HAND_OVER_MESSAGES_MAX)?;
    entries.iter().try_for_each(|entry| is_position(entry.at))
}

fn is_position(at: Position) -> Result<(), CodecError> {
    if !at.is_message() || (1..=limits::NUMBER_MAX).contains(&at.number) {
        return Ok(());
    }
    Err(CodecError::Header(format!("a message has the number {}", at.number)))
}

fn are_owners(owners: &[Boot]) -> Result<(), CodecError> {
    bounded_list("owners of a session", owners.len(), limits::OWNERS_FOLLOWED_MAX)
}

fn is_release(release: &Release) -> Result<(), CodecError> {
    bounded_list("positions", release.held.len(), limits::RELEASED_MAX)
}

fn is_acked(acked: &Acked) -> Result<(), CodecError> {
    bounded_list("refusals", acked.refused.len(), LISTED_MAX)
}

fn are_configs(configs: &[Config]) -> Result<(), CodecError> {
    bounded_list("configurations", configs.len(), CONFIGS_MAX)?;
    configs.iter().try_for_each(is_config)
}

fn is_config(config: &Config) -> Result<(), CodecError> {
    bounded_list("members of a group", config.members.len(), limits::COPIES_MAX)
}

fn is_group(group: u8) -> Result<(), CodecError> {
    if group < GROUPS {
        return Ok(());
    }
    Err(CodecError::Header(format!("a frame of a log names group {group}, of {GROUPS}")))
}

fn is_of(fence: &Fence, boot: &Boot) -> Result<(), CodecError> {
    if fence.by == *boot {
        return Ok(());
    }
    Err(CodecError::Header(format!("{} takes over for {}", boot.name, fence.by.name)))
}

/// Configurations of a group that may be in effect, as a member knows. Source: the one that is, and the one that is to follow; twice that.
const CONFIGS_MAX: usize = 4;
