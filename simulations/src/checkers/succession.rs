//! A boot that is over does not come back: the incarnation under which a node lists a name never
//! falls, also when the name was not listed for a while. A process that starts anew knows nothing of that, also where it has the
//! incarnation of one before, of which nobody has heard.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::NodeName;

use crate::checkers::checker::Checker;
use crate::host::Boot;

/// Watches the incarnations that nodes list.
#[derive(Default)]
pub(super) struct Succession {
    seen: BTreeMap<(NodeName, u64), Seen>,
    /// What boots that are over have ignored.
    ignored: u64,
}

/// What one boot of a node has listed.
#[derive(Default)]
struct Seen {
    greatest: BTreeMap<NodeName, u64>,
    /// Observations of boots that are over, as the node has counted them.
    ignored: u64,
}

impl Checker for Succession {
    fn name(&self) -> &'static str {
        "a boot that is over does not come back"
    }

    fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Result<(), String> {
        if !now_ms.is_multiple_of(EVERY_MS) {
            return Ok(());
        }
        self.forget(
            boots.iter().flatten().map(|boot| (boot.replica.me().clone(), boot.incarnation)).collect(),
        );
        for boot in boots.iter().flatten() {
            if let Some(inside) = boot.observer.inside() {
                let members = inside.members.iter();
                let listed = members.map(|(name, (incarnation, state))| (name, incarnation.0, *state));
                self.look(boot.replica.me(), boot.incarnation, listed, inside.fenced)?;
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        (
            "signs of boots that are over, ignored",
            self.ignored + self.seen.values().map(|seen| seen.ignored).sum::<u64>(),
        )
    }
}

impl Succession {
    /// Only these boots run.
    fn forget(&mut self, running: BTreeSet<(NodeName, u64)>) {
        self.seen.retain(|boot, seen| {
            let runs = running.contains(boot);
            self.ignored += if runs { 0 } else { seen.ignored };
            runs
        });
    }

    fn look<'a>(
        &mut self,
        me: &NodeName,
        boot: u64,
        listed: impl Iterator<Item = (&'a NodeName, u64, &'a str)>,
        ignored: u64,
    ) -> Result<(), String> {
        let seen = self.seen.entry((me.clone(), boot)).or_default();
        seen.ignored = ignored;
        for (name, incarnation, state) in listed {
            let greatest = seen.greatest.entry(name.clone()).or_insert(incarnation);
            if incarnation < *greatest {
                return Err(format!("{me} lists {name} at {incarnation} as {state}, after {greatest}"));
            }
            *greatest = incarnation;
        }
        Ok(())
    }
}

/// Time between two looks, in milliseconds: two for each round of the overlay.
const EVERY_MS: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_former_boot_that_comes_back_is_found() {
        let (me, name) = (NodeName::new("a").unwrap(), NodeName::new("b").unwrap());
        let mut checker = Succession::default();
        let mut look = |boot, listed: Option<u64>| {
            let listed = listed.map(|incarnation| (&name, incarnation, "alive"));
            checker.look(&me, boot, listed.into_iter(), 0)
        };
        assert_eq!((look(1, Some(5)), look(1, Some(6)), look(1, None)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(look(2, Some(5)), Ok(()), "another boot knows nothing of that");
        assert!(look(1, Some(5)).is_err());
        checker.forget(BTreeSet::from([(me.clone(), 2)]));
        let mut look = |boot| checker.look(&me, boot, [(&name, 4, "alive")].into_iter(), 0);
        assert_eq!(look(1), Ok(()), "another process with that incarnation");
        assert!(look(2).is_err());
    }
}
