//! A claim seals the group of one owner.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits;
use crate::quorum::group::{Boot, Config};

/// How far a claim has sealed a session in the group of one owner: of all configurations that may be in effect so many members have to
/// seal it that none of the rest could store anything by themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Sealing {
    /// Those that may be in effect, as far as is known, in their order.
    configs: Vec<Config>,
    /// There were more than it remembers.
    lacks: bool,
    /// Boots that have sealed, with the latest epoch of which they were members.
    sealed: BTreeMap<Boot, u32>,
}

impl Sealing {
    /// Those who are not known to have sealed.
    pub(super) fn asked(&self) -> BTreeSet<&Boot> {
        let asked = self
            .configs
            .iter()
            .flat_map(|config| config.members.iter().filter(move |member| !self.has_sealed(config, member)));
        asked.collect()
    }

    /// Whether nothing is missed that its owner has stored, and it stores nothing more.
    pub(super) fn is_sealed(&self) -> bool {
        let is_sealed = |config: &Config| config.is_sealed(|member| self.has_sealed(config, member));
        !self.lacks && !self.configs.is_empty() && self.configs.iter().all(is_sealed)
    }

    /// Whether nobody is left to ask: who has not sealed is over, and so is the owner.
    pub(super) fn is_exhausted(&self, owner: &Boot, over: &BTreeSet<Boot>) -> bool {
        !self.configs.is_empty()
            && over.contains(owner)
            && self.asked().into_iter().all(|boot| over.contains(boot))
    }

    /// These may be in effect, and the first one was: those before it are over. Returns whether any of that is news.
    pub(super) fn learn(&mut self, configs: Vec<Config>) -> bool {
        let first = |configs: &[Config]| configs.first().map_or(0, |config| config.epoch);
        let in_effect = first(&configs).max(first(&self.configs));
        let before: Vec<_> = self.configs.iter().map(|config| config.epoch).collect();
        let all = std::mem::take(&mut self.configs).into_iter().chain(configs);
        let all: BTreeMap<_, _> = all.map(|config| (config.epoch, config)).collect();
        self.configs = all.into_values().filter(|config| config.epoch >= in_effect).collect();
        self.lacks |= self.configs.len() > limits::CONFIGS_KNOWN_MAX;
        self.configs.truncate(limits::CONFIGS_KNOWN_MAX);
        !self.configs.iter().map(|config| config.epoch).eq(before)
    }

    /// A boot has sealed as a member of that epoch.
    pub(super) fn sealed(&mut self, by: &Boot, epoch: u32) {
        let sealed = self.sealed.entry(by.clone()).or_default();
        *sealed = epoch.max(*sealed);
    }

    /// Whether a boot has sealed as a member of that configuration, or of a later one: it had all that was held before that.
    fn has_sealed(&self, config: &Config, boot: &Boot) -> bool {
        self.sealed.get(boot).is_some_and(|epoch| *epoch >= config.epoch)
    }
}
