//! A claim takes a session over from members of the group of its former owner.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::Stamp;
use crate::key::Key;
use crate::quorum::frame::{Entry, Seal, SealAnswer};
use crate::quorum::group::{Boot, Config, Fence};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealingEffect<M> {
    /// Ask this boot.
    Ask {
        /// The boot.
        to: Boot,
        /// What.
        seal: Seal,
    },
    /// The former owner stores nothing more, and nothing is missing that it has stored: this is all, in its order.
    Sealed(Vec<Entry<M>>),
    /// A greater claim has taken the session over, or the client has not shown what it has to.
    Refused(Option<Fence>),
}

/// The takeover of one session.
#[derive(Debug, Clone)]
pub struct Sealing<M> {
    key: Key,
    fence: Fence,
    shown: Option<Stamp>,
    config: Config,
    /// Members of the configuration that have sealed.
    sealed: BTreeSet<Boot>,
    /// What any member holds.
    entries: BTreeMap<(Stamp, u64), M>,
    over: bool,
}

impl<M: Clone> Sealing<M> {
    /// The claim `fence` takes over `key`, of whose former owner's group this is the newest configuration that is known. `shown`: for
    /// what its client has a token, or the former owner's word.
    #[must_use]
    pub fn new(key: Key, fence: Fence, shown: Option<Stamp>, config: Config) -> Self {
        Self { key, fence, shown, config, sealed: BTreeSet::new(), entries: BTreeMap::new(), over: false }
    }

    /// The claim.
    #[must_use]
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Asks all who have not answered: at the beginning, and again for as long as it is not over.
    #[must_use]
    pub fn ask(&self) -> Vec<SealingEffect<M>> {
        let Self { key, fence, shown, .. } = self;
        let seal = Seal { key: *key, fence: fence.clone(), epoch: self.config.epoch, shown: *shown };
        let asked = self.config.members.iter().filter(|member| !self.over && !self.sealed.contains(member));
        asked.map(|to| SealingEffect::Ask { to: to.clone(), seal: seal.clone() }).collect()
    }

    /// A newer configuration is known. Whoever sealed in the one before is asked again.
    #[must_use]
    pub fn announced(&mut self, config: &Config) -> Vec<SealingEffect<M>> {
        if self.over || config.epoch <= self.config.epoch {
            return Vec::new();
        }
        self.config = config.clone();
        self.sealed.clear();
        self.ask()
    }

    /// A boot has answered.
    #[must_use]
    pub fn answered(&mut self, from: &Boot, answer: SealAnswer<M>) -> Vec<SealingEffect<M>> {
        if self.over {
            return Vec::new();
        }
        let epoch = match answer {
            SealAnswer::Tail { epoch, entries } => {
                let places = entries.into_iter().map(|entry| ((entry.stamp, entry.number), entry.message));
                self.entries.extend(places);
                epoch
            }
            SealAnswer::Nothing { epoch } => epoch,
            SealAnswer::Unknown => return Vec::new(),
            SealAnswer::Newer(config) => return self.announced(&config),
            SealAnswer::Refused(fence) => {
                self.over = true;
                return vec![SealingEffect::Refused(fence)];
            }
        };
        if epoch == self.config.epoch {
            self.sealed.insert(from.clone());
        }
        if !self.config.is_sealed(|member| self.sealed.contains(member)) {
            return Vec::new();
        }
        self.over = true;
        let entries = self.entries.iter().map(|held| Entry::at(self.key, held));
        vec![SealingEffect::Sealed(entries.collect())]
    }
}
