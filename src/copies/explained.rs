//! What this node knows of the copies of one user's sessions, for whoever asks why something came or did not.

use crate::copies::Copies;
use crate::copies::group::group_of;
use crate::id::NodeName;
use crate::key::{DeviceHash, Key, UserHash};
use crate::position::Position;
use crate::quorum::{Boot, Fence};

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
    pub(crate) sessions: Vec<HeldSession>,
}

/// What is held of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldSession {
    pub(crate) device: DeviceHash,
    pub(crate) messages: usize,
    /// Where the last of them stands.
    pub(crate) last: Option<Position>,
    /// The claim below which nothing is taken for it.
    pub(crate) fence: Option<Fence>,
}

impl Copies {
    /// The groups of all owners, as far as their members are known, that a user's sessions are in.
    pub(crate) fn of_user(&self, user: UserHash) -> Vec<CopiesOf> {
        let group = group_of(Key { user, device: DeviceHash(0) });
        let configs: Vec<_> =
            self.configs().iter().map(|(of, config)| (of.clone(), config.clone())).collect();
        let in_group = configs.into_iter().filter(|((_, of), _)| *of == group);
        let copies = in_group.map(|((owner, group), config)| {
            let members = config.members.into_iter().map(|boot| boot.name).collect();
            let sessions = if owner == self.parts.me {
                self.group(group).owner.looked_at()
            } else {
                self.holding.looked_at(&owner, group)
            };
            let of_user = sessions.into_iter().filter(|(key, ..)| key.user == user);
            let held = of_user.map(|(key, messages, last, fence)| HeldSession {
                device: key.device,
                messages,
                last,
                fence,
            });
            CopiesOf { owner, group, epoch: config.epoch, members, sessions: held.collect() }
        });
        copies.collect()
    }
}
