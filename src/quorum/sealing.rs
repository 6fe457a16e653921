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

/// The takeover of one session: of all configurations that may be in effect so many members seal it that none of the rest could store
/// anything by themselves.
#[derive(Debug, Clone)]
pub struct Sealing<M> {
    key: Key,
    fence: Fence,
    shown: Option<Stamp>,
    /// Those that may be in effect, as far as is known, in their order.
    configs: Vec<Config>,
    /// Boots that have sealed, with the latest epoch of which they were members.
    sealed: BTreeMap<Boot, u32>,
    /// What any member holds.
    entries: BTreeMap<(Stamp, u64), M>,
    over: bool,
}

impl<M: Clone> Sealing<M> {
    /// The claim `fence` takes over `key`, of whose former owner's group this is the newest configuration that is known. `shown`: for
    /// what its client has a token, or the former owner's word.
    #[must_use]
    pub fn new(key: Key, fence: Fence, shown: Option<Stamp>, config: Config) -> Self {
        let (configs, sealed, entries) = (vec![config], BTreeMap::new(), BTreeMap::new());
        Self { key, fence, shown, configs, sealed, entries, over: false }
    }

    /// The claim.
    #[must_use]
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Asks all who are not known to have sealed: at the beginning, and again for as long as it is not over.
    #[must_use]
    pub fn ask(&self) -> Vec<SealingEffect<M>> {
        if self.over {
            return Vec::new();
        }
        let Self { key, fence, shown, .. } = self;
        let seal = Seal { key: *key, fence: fence.clone(), shown: *shown };
        let asked = self
            .configs
            .iter()
            .flat_map(|config| config.members.iter().filter(move |member| !self.has_sealed(config, member)));
        let asked: BTreeSet<_> = asked.collect();
        asked.into_iter().map(|to| SealingEffect::Ask { to: to.clone(), seal: seal.clone() }).collect()
    }

    /// A configuration is in effect.
    #[must_use]
    pub fn announced(&mut self, config: &Config) -> Vec<SealingEffect<M>> {
        let is_news = self.learn([config.clone()].into());
        self.go_on(is_news)
    }

    /// A boot has answered.
    #[must_use]
    pub fn answered(&mut self, from: &Boot, answer: SealAnswer<M>) -> Vec<SealingEffect<M>> {
        if self.over {
            return Vec::new();
        }
        let is_news = match answer {
            SealAnswer::Tail { epoch, configs, entries } => {
                let places = entries.into_iter().map(|entry| ((entry.stamp, entry.number), entry.message));
                self.entries.extend(places);
                let sealed = self.sealed.entry(from.clone()).or_default();
                *sealed = epoch.max(*sealed);
                self.learn(configs)
            }
            SealAnswer::Newer(configs) => self.learn(configs),
            SealAnswer::Unknown => false,
            SealAnswer::Refused(fence) => {
                self.over = true;
                return vec![SealingEffect::Refused(fence)];
            }
        };
        self.go_on(is_news)
    }

    /// These may be in effect, and the first one was: those before it are over. Returns whether any of that is news.
    fn learn(&mut self, configs: Vec<Config>) -> bool {
        let first = |configs: &[Config]| configs.first().map_or(0, |config| config.epoch);
        let in_effect = first(&configs).max(first(&self.configs));
        let before: Vec<_> = self.configs.iter().map(|config| config.epoch).collect();
        let all = std::mem::take(&mut self.configs).into_iter().chain(configs);
        let all: BTreeMap<_, _> = all.map(|config| (config.epoch, config)).collect();
        self.configs = all.into_values().filter(|config| config.epoch >= in_effect).collect();
        !self.configs.iter().map(|config| config.epoch).eq(before)
    }

    fn go_on(&mut self, is_news: bool) -> Vec<SealingEffect<M>> {
        let is_sealed = |config: &Config| config.is_sealed(|member| self.has_sealed(config, member));
        if self.over || !self.configs.iter().all(is_sealed) {
            return if is_news { self.ask() } else { Vec::new() };
        }
        self.over = true;
        let entries = self.entries.iter().map(|held| Entry::at(self.key, held));
        vec![SealingEffect::Sealed(entries.collect())]
    }

    /// Whether a boot has sealed as a member of that configuration, or of a later one: it had all that was held before that.
    fn has_sealed(&self, config: &Config, boot: &Boot) -> bool {
        self.sealed.get(boot).is_some_and(|epoch| *epoch >= config.epoch)
    }
}
