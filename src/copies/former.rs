//! The groups of boots that are gone: a node that begins is told of them, because their clients may come to it.

use crate::copies::Copies;
use crate::copies::frame::LogAnswer;
use crate::copies::gone::is_there;
use crate::quorum::{Boot, Config};
use crate::session::Copied;

impl Copies {
    /// The groups of boots that are gone, as a boot is told that may have begun since then.
    pub(super) fn former_known(&self, to: &Boot) -> Vec<LogAnswer<Copied>> {
        let members = self.parts.roster.members();
        let is_former = |owner: &Boot| {
            let is_over = owner.name == to.name && owner != to;
            *owner != self.parts.me && (is_over || *owner != *to && !is_there(&members, owner))
        };
        let known = self.configs.of_owners(is_former).into_iter();
        known.map(|(owner, group, config)| LogAnswer::Known { owner, group, config }).collect()
    }

    /// The members of a group of a boot that is gone. One that is there tells them itself.
    pub(super) fn told_of_former(&self, owner: &Boot, group: u8, config: &Config) {
        let is_here = *owner == self.parts.me || is_there(&self.parts.roster.members(), owner);
        if !is_here && self.configs.learn_of_former(owner, group, config) {
            self.holding.announced(owner, group, config);
            self.takeovers.announce(owner, group, config);
        }
    }
}
