//! Who the members of all groups are, as their owners have announced it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::copies::gone::{Gone, forgotten_after};
use crate::quorum::{Boot, Config};

/// The configurations of all groups that are known. That of an owner which is gone is known for as long as a client of it may come back.
pub(super) struct Configs {
    known: Mutex<BTreeMap<(Boot, u8), Known>>,
    keep_max: Duration,
}

struct Known {
    config: Config,
    /// Its owner.
    gone: Gone,
}

impl Configs {
    /// None are known yet. No session is kept for longer.
    pub(super) fn new(keep_max: Duration) -> Self {
        Self { known: Mutex::default(), keep_max }
    }

    /// A configuration is in effect. Returns whether that is news.
    pub(super) fn learn(&self, owner: &Boot, group: u8, config: &Config) -> bool {
        let mut known = self.lock();
        let key = (owner.clone(), group);
        let is_news = known.get(&key).is_none_or(|before| before.config.epoch < config.epoch);
        if is_news {
            known.insert(key, Known { config: config.clone(), gone: Gone::default() });
        }
        is_news
    }

    /// The same of an owner that this node may not have met, as another one tells.
    pub(super) fn learn_of_former(&self, owner: &Boot, group: u8, config: &Config) -> bool {
        self.lock().len() < KNOWN_MAX && self.learn(owner, group, config)
    }

    /// Those of all owners for which that holds.
    pub(super) fn of_owners(&self, is_meant: impl Fn(&Boot) -> bool) -> Vec<(Boot, u8, Config)> {
        let known = self.lock();
        let meant = known.iter().filter(|((owner, _), _)| is_meant(owner));
        meant.map(|((owner, group), known)| (owner.clone(), *group, known.config.clone())).collect()
    }

    /// The configuration of a group, if it is known.
    pub(super) fn get(&self, owner: &Boot, group: u8) -> Option<Config> {
        self.lock().get(&(owner.clone(), group)).map(|known| known.config.clone())
    }

    /// Those of one group of each owner.
    pub(super) fn of_all(&self, group: u8) -> Vec<(Boot, Config)> {
        let known = self.lock();
        let of_group = known.iter().filter(|((_, of), _)| *of == group);
        of_group.map(|((owner, _), known)| (owner.clone(), known.config.clone())).collect()
    }

    /// The owner for which that holds.
    pub(super) fn owner(&self, is_meant: impl Fn(&Boot) -> bool) -> Option<Boot> {
        self.lock().keys().map(|(owner, _)| owner).find(|owner| is_meant(owner)).cloned()
    }

    /// Forgets those of owners that are gone for longer than any session is kept.
    pub(super) fn tidy(&self, now: Instant, is_there: impl Fn(&Boot) -> bool) {
        let kept = forgotten_after(self.keep_max);
        self.lock()
            .retain(|(owner, _), known| known.gone.look(now, is_there(owner)).is_none_or(|gone| gone < kept));
    }

    /// Whether a panic has left it half changed.
    pub(super) fn is_poisoned(&self) -> bool {
        self.known.is_poisoned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Boot, u8), Known>> {
        self.known.lock().expect("no panic happens under this lock")
    }
}

/// Configurations beyond which no more are taken of owners that this node has not met. Arithmetic: the groups of 1,000 boots; costs at
/// most 4 MB.
const KNOWN_MAX: usize = 16_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, NodeName};

    fn boot(incarnation: u64) -> Boot {
        Boot { name: NodeName::new("a").unwrap(), incarnation: Incarnation(incarnation) }
    }

    fn config(epoch: u32) -> Config {
        Config { epoch, members: Vec::new() }
    }

    #[test]
    fn the_last_configuration_of_each_group_is_known() {
        let configs = Configs::new(Duration::ZERO);
        assert!(configs.learn(&boot(1), 3, &config(2)));
        assert!(!configs.learn(&boot(1), 3, &config(2)) && !configs.learn(&boot(1), 3, &config(1)));
        assert!(configs.learn(&boot(2), 3, &config(1)), "a later boot begins anew");
        assert_eq!(configs.get(&boot(1), 3), Some(config(2)));
        assert_eq!(configs.get(&boot(1), 4), None);
        assert_eq!(configs.of_all(3), [(boot(1), config(2)), (boot(2), config(1))]);
        assert_eq!(configs.owner(|owner| *owner == boot(2)), Some(boot(2)));
        assert_eq!(configs.of_owners(|owner| *owner == boot(1)), [(boot(1), 3, config(2))]);
    }

    #[test]
    fn of_owners_that_nobody_has_met_no_more_are_taken_than_there_is_room_for() {
        let configs = Configs::new(Duration::ZERO);
        let taken =
            (0..KNOWN_MAX as u64 + 9).filter(|boots| configs.learn_of_former(&boot(*boots), 0, &config(1)));
        assert_eq!(taken.count(), KNOWN_MAX);
        assert!(configs.learn(&boot(u64::MAX), 0, &config(1)), "whoever is there is heard");
    }

    #[test]
    fn that_of_an_owner_that_is_gone_is_forgotten_once_no_client_of_it_can_come_back() {
        let (begin, keep) = (Instant::now(), Duration::from_secs(60));
        let configs = Configs::new(keep);
        configs.learn(&boot(1), 3, &config(1));
        let is_known = |after: Duration, is_there: bool| {
            configs.tidy(begin + after, |_| is_there);
            configs.get(&boot(1), 3).is_some()
        };
        let second = Duration::from_secs(1);
        let kept = forgotten_after(keep);
        assert!(is_known(Duration::ZERO, false) && is_known(kept - second, false));
        assert!(is_known(kept, true), "it is back");
        assert!(is_known(kept + second, false) && is_known(2 * kept, false));
        assert!(!is_known(2 * kept + second, false));
    }
}
