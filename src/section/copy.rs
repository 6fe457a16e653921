//! The others' side of a section: a copy that follows its owner.
//!
//! A copy is *exact* or known to be wrong. What is wrong stays where it is until a snapshot replaces it, and nobody is
//! served from it.

use crate::id::NodeName;
use crate::section::recent::Recent;
use crate::section::{Delta, Digest, Head, MergeError, Position, Record, Store};

/// A copy of another node's section. Its records are in a [`Store`].
#[derive(Debug)]
pub(crate) struct Copy<R: Record> {
    head: Head,
    exact: bool,
    recent: Recent<R>,
}

impl<R: Record> Copy<R> {
    /// A copy that was found to be exact.
    pub(super) fn new(head: Head) -> Self {
        Self { head, exact: true, recent: Recent::default() }
    }

    /// Where it stands, exact or not.
    #[must_use]
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Whether the content is the owner's, as far as is known.
    #[must_use]
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    /// Merges a delta of the owner, and remembers it among `changes_max` changes.
    ///
    /// # Errors
    /// [`MergeError`]; after [`MergeError::Diverged`] a snapshot has to be taken. Nothing else changes anything.
    pub(crate) fn merge(
        &mut self,
        owner: &NodeName,
        delta: Delta<R>,
        changes_max: usize,
        store: &mut impl Store<R>,
    ) -> Result<(), MergeError> {
        if !self.exact {
            return Err(MergeError::Gap { from: delta.from, held: 0 });
        }
        if !self.head.takes(&delta)? {
            return Ok(());
        }
        self.head.apply(&delta, store);
        if self.head.digest.hash != delta.hash {
            self.exact = false;
            return Err(MergeError::Diverged { owner: owner.clone(), version: delta.to });
        }
        self.recent.push(delta, changes_max);
        Ok(())
    }

    /// It was found to be wrong when it had the digest `held`. Returns whether that is new.
    pub(crate) fn distrust(&mut self, held: &Digest) -> bool {
        // What was wrong at one version is wrong at those that were reached from it.
        let of_boot = self.head.digest.position.incarnation == held.position.incarnation;
        let wrong = self.exact && of_boot;
        self.exact &= !wrong;
        wrong
    }

    /// What somebody at `position` lacks: one delta as it was received from the owner. It is empty for who lacks nothing.
    /// `None` means that only a snapshot can help. A copy that is not [exact](Self::is_exact) serves nobody.
    #[must_use]
    pub(crate) fn delta_since(&self, position: Position) -> Option<Delta<R>> {
        self.head.since(position, || self.recent.after(position.version).cloned())
    }
}
