//! What this node knows of the copies of one user's sessions, for whoever asks why something came or did not.

use crate::copies::Copies;
use crate::copies::group::group_of;
use crate::id::NodeName;
use crate::key::{DeviceHash, Key, UserHash};
use crate::quorum::{Boot, Looked};

/// The group that a user's sessions are in at one owner.
#[derive(Debug)]
pub(crate) struct CopiesOf {
    /// Whose group.
    pub(crate) owner: Boot,
    /// Which of its groups.
    pub(crate) group: u8,
    /// The epoch of its configuration.
    pub(crate) epoch: u32,
    /// The members.
    pub(crate) members: Vec<NodeName>,
    /// What this node holds of it: as the owner, or as a member.
    pub(crate) sessions: Vec<Looked>,
}

impl Copies {
    /// The groups of all owners, as far as their members are known, that a user's sessions are in.
    pub(crate) fn of_user(&self, user: UserHash) -> Vec<CopiesOf> {
        let group = group_of(Key { user, device: DeviceHash(0) });
        let copies = self.configs.of_all(group).into_iter().map(|(owner, config)| {
            let members = config.members.into_iter().map(|boot| boot.name).collect();
            let sessions = if owner == self.parts.me {
                self.group(group).owner.looked_at(user)
            } else {
                self.holding.looked_at(&owner, group, user)
            };
            CopiesOf { owner, group, epoch: config.epoch, members, sessions }
        });
        copies.collect()
    }
}
