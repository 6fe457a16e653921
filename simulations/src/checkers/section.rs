//! A copy of a section equals what its owner held at that position, and never goes back.
//!
//! Owners are looked at after every millisecond, copies less often. A position that the owner passed
//! within one millisecond has no record; a copy that stands there is not compared. Neither is one of a
//! boot that started under an incarnation that its name has had, because its clock was set back and
//! nobody whom it asked remembered: two sections have the same positions then. The product mends that as
//! it mends every copy that is wrong, and convergence at the end of the run says whether it did.
//!
//! At each position the owner's claims are recorded: the hash by which the product goes, and one of our
//! own over all of them, which is dearer and is compared less often.

use std::collections::BTreeMap;

use pushmesh::NodeName;
use pushmesh::internals::Position;

use crate::checkers::boots::Boots;
use crate::checkers::checker::Checker;
use crate::checkers::contents;
use crate::host::Boot;

/// Watches all copies of all sections.
#[derive(Default)]
pub(super) struct Section {
    /// The owners' hashes.
    recorded: BTreeMap<(NodeName, Position), u64>,
    /// What the owners held, as [`contents`] tells it.
    contents: BTreeMap<(NodeName, Position), u64>,
    /// The last record of each owner, which is looked at far more often than it changes.
    newest: BTreeMap<NodeName, (Position, u64)>,
    /// Where the copies stood: of a boot of a node, of an owner.
    stood: BTreeMap<(NodeName, u64), BTreeMap<NodeName, Position>>,
    boots: Boots,
    compared: u64,
}

impl Checker for Section {
    fn name(&self) -> &'static str {
        "a copy is what its owner held, and never goes back"
    }

    fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Result<(), String> {
        for (name, incarnation) in self.boots.look(boots) {
            self.booted(&name, incarnation);
        }
        for boot in boots.iter().flatten() {
            let owner = boot.replica.me();
            if let Some(head) = boot.replica.head(owner)
                && self.record(owner, head.digest.position, head.digest.hash)?
            {
                let at = (owner.clone(), head.digest.position);
                self.contents.insert(at, contents::hash(boot, owner));
            }
        }
        if now_ms.is_multiple_of(COPIES_EVERY_MS) {
            for boot in boots.iter().flatten() {
                let heads = boot.replica.heads().into_iter();
                let heads = heads.map(|(owner, digest)| (owner, digest.position, digest.hash));
                self.copies(boot.replica.me(), boot.incarnation, heads)?;
            }
        }
        if now_ms.is_multiple_of(CONTENTS_EVERY_MS) {
            boots.iter().flatten().try_for_each(|holder| self.contents(holder))?;
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("copies compared with their owner", self.compared)
    }
}

impl Section {
    /// A boot begins, and holds nothing yet.
    fn booted(&mut self, name: &NodeName, incarnation: u64) {
        let boot = (name.clone(), incarnation);
        self.stood.remove(&boot);
        self.boots.begin(boot);
    }

    /// Compares what a node holds of all sections with what their owners held there.
    fn contents(&mut self, holder: &Boot) -> Result<(), String> {
        for (owner, digest) in holder.replica.heads() {
            let position = digest.position;
            let told_apart = self.is_told_apart(&owner, position);
            let recorded = self.contents.get(&(owner.clone(), position)).filter(|_| told_apart);
            let Some(recorded) = recorded.copied() else { continue };
            self.compared += 1;
            if contents::hash(holder, &owner) != recorded {
                let who = holder.replica.me();
                return Err(format!("{who} holds other claims than {owner} did at {position:?}"));
            }
        }
        Ok(())
    }

    fn is_told_apart(&self, owner: &NodeName, position: Position) -> bool {
        !self.boots.is_again(&(owner.clone(), position.incarnation.0))
    }

    /// Returns whether the owner has moved.
    fn record(&mut self, owner: &NodeName, position: Position, hash: u64) -> Result<bool, String> {
        if self.newest.get(owner) == Some(&(position, hash)) || !self.is_told_apart(owner, position) {
            return Ok(false);
        }
        self.newest.insert(owner.clone(), (position, hash));
        let before = *self.recorded.entry((owner.clone(), position)).or_insert(hash);
        if before != hash {
            return Err(format!("{owner} changed its section and stays at {position:?}"));
        }
        Ok(true)
    }

    fn copies(
        &mut self,
        holder: &NodeName,
        incarnation: u64,
        heads: impl Iterator<Item = (NodeName, Position, u64)>,
    ) -> Result<(), String> {
        let mut stands = BTreeMap::new();
        let stood = self.stood.remove(&(holder.clone(), incarnation)).unwrap_or_default();
        for (owner, position, hash) in heads {
            if !self.is_told_apart(&owner, position) {
                continue;
            }
            if let Some(before) = stood.get(&owner).filter(|before| **before > position) {
                return Err(format!(
                    "{holder} went back in {owner}'s section, from {before:?} to {position:?}"
                ));
            }
            if let Some(recorded) = self.recorded.get(&(owner.clone(), position)) {
                self.compared += 1;
                if *recorded != hash {
                    return Err(format!("{holder} holds something else than {owner} at {position:?}"));
                }
            }
            stands.insert(owner, position);
        }
        self.stood.insert((holder.clone(), incarnation), stands);
        Ok(())
    }
}

/// Time between two looks at the copies, in milliseconds.
const COPIES_EVERY_MS: u64 = 10;
/// Time between two looks at their claims, each of which walks over all rows.
const CONTENTS_EVERY_MS: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn position(version: u64) -> Position {
        Position { version, ..Position::default() }
    }

    fn name(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    #[test]
    fn a_copy_that_goes_back_is_found() {
        let mut checker = Section::default();
        let mut stands =
            |version| checker.copies(&name("a"), 1, [(name("b"), position(version), 0)].into_iter());
        assert_eq!((stands(4), stands(5)), (Ok(()), Ok(())));
        assert!(stands(4).is_err());
    }

    #[test]
    fn a_copy_of_something_else_is_found() {
        let mut checker = Section::default();
        checker.record(&name("b"), position(5), 77).unwrap();
        let mut holds = |hash| checker.copies(&name("a"), 1, [(name("b"), position(5), hash)].into_iter());
        assert_eq!(holds(77), Ok(()));
        assert!(holds(78).is_err());
    }

    #[test]
    fn a_boot_that_starts_over_is_not_told_from_the_former_one() {
        let mut checker = Section::default();
        checker.booted(&name("b"), 0);
        checker.record(&name("b"), position(5), 77).unwrap();
        let holds = |checker: &mut Section, version, hash| {
            checker.copies(&name("a"), 1, [(name("b"), position(version), hash)].into_iter())
        };
        assert!(holds(&mut checker, 5, 77).is_ok() && holds(&mut checker, 5, 78).is_err());
        checker.booted(&name("b"), 0);
        assert_eq!(checker.record(&name("b"), position(5), 78), Ok(false));
        assert_eq!((holds(&mut checker, 5, 78), holds(&mut checker, 4, 1)), (Ok(()), Ok(())));
    }

    #[test]
    fn an_owner_that_changes_in_silence_is_found() {
        let mut checker = Section::default();
        checker.record(&name("b"), position(5), 77).unwrap();
        assert!(checker.record(&name("b"), position(5), 78).is_err());
    }
}
