//! What every owner held at each of its positions, and every claim that was ever made: written down
//! beside the product, so that what the product says can be compared.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::id::{Incarnation, Stamp};
use pushmesh::internals::{Key, Position, Rival};

use crate::id::NodeIndex;
use crate::model::id::BootId;

/// A section at one position, in the order of keys.
pub(super) type Rows = Vec<(Key, Stamp)>;

/// All that was written by owners.
#[derive(Default)]
pub(super) struct History {
    /// The sections of a boot, by version.
    lives: BTreeMap<BootId, Vec<Rows>>,
    /// Which boots had that name and incarnation. More than one only where a clock was set back.
    boots: BTreeMap<(NodeIndex, Incarnation), Vec<BootId>>,
    claims: BTreeSet<(Key, NodeIndex, Stamp)>,
    /// Claims whose owner was asked, and has said that it has the session.
    confirmed: BTreeSet<(Key, NodeIndex, Stamp)>,
    /// Sections of which some copy was made wrong.
    forged: BTreeSet<(NodeIndex, Incarnation)>,
}

impl History {
    /// A boot begins, with an empty section.
    pub(super) fn begin(&mut self, boot: BootId, node: NodeIndex, incarnation: Incarnation) {
        self.lives.insert(boot, vec![Rows::new()]);
        self.boots.entry((node, incarnation)).or_default().push(boot);
    }

    /// A boot claims a key.
    pub(super) fn claim(&mut self, boot: BootId, node: NodeIndex, key: Key, stamp: Stamp) {
        self.claims.insert((key, node, stamp));
        self.write(boot, key, Some(stamp));
    }

    /// A boot lets go of the claim of `key` with `stamp`, if that is the one that stands. Whether it is.
    pub(super) fn release(&mut self, boot: BootId, key: Key, stamp: Stamp) -> bool {
        let stands = self.now(boot).contains(&(key, stamp));
        if stands {
            self.write(boot, key, None);
        }
        stands
    }

    /// A boot says of a claim that it has yielded.
    pub(super) fn yielded(&mut self, boot: BootId, key: Key, stamp: Stamp) {
        self.write(boot, key, Some(stamp));
    }

    /// An owner says that it has the session of that claim.
    pub(super) fn confirm(&mut self, node: NodeIndex, key: Key, stamp: Stamp) {
        self.confirmed.insert((key, node, stamp));
    }

    /// Whether it ever said so.
    pub(super) fn was_confirmed(&self, node: NodeIndex, key: Key, stamp: Stamp) -> bool {
        self.confirmed.contains(&(key, node, stamp))
    }

    fn write(&mut self, boot: BootId, key: Key, stamp: Option<Stamp>) {
        let states = self.lives.get_mut(&boot).expect("a boot that writes has begun");
        let mut rows = states.last().cloned().unwrap_or_default();
        rows.retain(|(held, _)| *held != key);
        if let Some(stamp) = stamp {
            let at = rows.partition_point(|(held, _)| *held < key);
            rows.insert(at, (key, stamp));
        }
        states.push(rows);
    }

    /// What a boot owns now.
    pub(super) fn now(&self, boot: BootId) -> &Rows {
        self.lives[&boot].last().expect("a life begins with an empty section")
    }

    /// How often a boot has written.
    pub(super) fn version(&self, boot: BootId) -> u64 {
        self.lives[&boot].len() as u64 - 1
    }

    /// Whether the owner held exactly these rows at that position.
    pub(super) fn held(&self, owner: NodeIndex, at: Position, rows: &Rows) -> bool {
        if self.forged.contains(&(owner, at.incarnation)) {
            return true;
        }
        let boots = self.boots.get(&(owner, at.incarnation)).map(Vec::as_slice).unwrap_or_default();
        let version = usize::try_from(at.version).unwrap_or(usize::MAX);
        boots.iter().any(|boot| self.lives[boot].get(version) == Some(rows))
    }

    /// From now on copies of that section may be wrong, until that is found out.
    pub(super) fn forge(&mut self, owner: NodeIndex, incarnation: Incarnation) {
        self.forged.insert((owner, incarnation));
    }

    /// Whether copies of any section may be wrong.
    pub(super) fn is_any_ambiguous(&self) -> bool {
        !self.forged.is_empty() || self.boots.values().any(|boots| boots.len() > 1)
    }

    /// Whether copies of that section may be wrong: several boots had that incarnation, or it was forged.
    pub(super) fn is_ambiguous(&self, owner: NodeIndex, incarnation: Incarnation) -> bool {
        self.forged.contains(&(owner, incarnation))
            || self.boots.get(&(owner, incarnation)).is_some_and(|boots| boots.len() > 1)
    }

    /// Whether that claim was ever made, by the session that `rival` says: of this key, or any of its user.
    pub(super) fn was_claimed(&self, key: Key, node: NodeIndex, stamp: Stamp, rival: Rival) -> bool {
        if rival == Rival::SameDevice {
            return self.claims.contains(&(key, node, stamp));
        }
        let of_user = self.claims.iter().filter(|(held, ..)| held.user == key.user);
        of_user.into_iter().any(|(_, by, with)| (*by, *with) == (node, stamp))
    }
}
