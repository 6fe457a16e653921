//! This node's own claims: made, changed and released.

use crate::directory::{Claim, ClaimState, Directory, SlotId, policy};
use crate::id::Stamp;
use crate::key::Key;
use crate::replica::views::Views;
use crate::replica::{Claimed, HeldByAnother, Replica};

impl Replica {
    /// Claims `key` for this node, above every stamp known here and above `seen`. `resumed` is the stamp
    /// of the session that the client has proven to be its own; claims `below` the other one do not stand against the
    /// client (see [`policy::Door`]). `register` is called before anybody can see the claim, under the lock of the directory.
    ///
    /// # Errors
    /// [`HeldByAnother`], only under [`Takeover::RejectNewer`].
    pub fn claim(
        &self,
        key: Key,
        now_ms: u64,
        seen: Option<Stamp>,
        resumed: Option<Stamp>,
        below: Option<Stamp>,
        register: impl FnOnce(Stamp),
    ) -> Result<Claimed, HeldByAnother> {
        let state = policy::state(self.takeover, resumed);
        // Also by a clock that is behind: others may keep that session on, and do not show it here.
        let seen = seen.max(resumed.map(Stamp::kept_on_until));
        let next_stamp =
            |directory: &mut Directory| Some(directory.next_stamp(key, now_ms, seen, &mut &self.views));
        self.claim_as(key, state, (resumed, below), next_stamp, register)
    }

    /// The same for a client that is away: the claim says so, and is just above `stamp`, that of the session which its owner
    /// does not keep any longer. So it stands against no claim that the client makes itself, shown here or not.
    ///
    /// # Errors
    /// [`HeldByAnother`]: a later claim is shown, or the policy keeps it out.
    pub fn claim_parked(
        &self,
        key: Key,
        stamp: Stamp,
        below: Option<Stamp>,
        register: impl FnOnce(Stamp),
    ) -> Result<Claimed, HeldByAnother> {
        let next_stamp = |directory: &mut Directory| {
            let (shown, view) = (self.lookup(key), self.read(key.user));
            let shown = shown.map(|owned| owned.stamp);
            let own = view.claim_of(key, SlotId::OWN).map(|claim| claim.stamp);
            (shown.max(own) <= Some(stamp)).then(|| directory.next_parked_stamp(stamp))
        };
        self.claim_as(key, ClaimState::Parked, (Some(stamp), below), next_stamp, register)
    }

    /// `next_stamp`: that of the claim, under the lock of the directory; `None`: it is not made.
    fn claim_as(
        &self,
        key: Key,
        state: ClaimState,
        (resumed, below): (Option<Stamp>, Option<Stamp>),
        next_stamp: impl FnOnce(&mut Directory) -> Option<Stamp>,
        register: impl FnOnce(Stamp),
    ) -> Result<Claimed, HeldByAnother> {
        let mut directory = self.lock();
        if !policy::may_claim(self.takeover, || self.lookup(key), resumed, below) {
            return Err(HeldByAnother);
        }
        let stamp = next_stamp(&mut directory).ok_or(HeldByAnother)?;
        let mut displaced = self.read(key.user).displaced(key);
        let excluded = displaced.len();
        displaced.retain(|(_, owned)| owned.owner != self.me);
        register(stamp);
        let lost = directory.claim(key, Claim { stamp, state }, &mut &self.views);
        self.publish(directory);
        Ok(Claimed { stamp, excluded, displaced, lost })
    }

    /// Releases this node's claim with that stamp. Returns whether it still stood.
    pub fn release(&self, key: Key, stamp: Stamp) -> bool {
        self.rewrite(|directory, mut views| directory.release(key, stamp, &mut views))
    }

    /// This node's claim with that stamp has yielded to another connection of its client. Returns whether the section says so
    /// from now on.
    pub fn yielded(&self, key: Key, stamp: Stamp) -> bool {
        policy::says_so(self.takeover)
            && self.rewrite(|directory, mut views| directory.yielded(key, stamp, &mut views))
    }

    /// The client of this node's claim with that stamp is away, and the session kept. Returns whether the section says so from
    /// now on.
    pub fn parked(&self, key: Key, stamp: Stamp) -> bool {
        self.rewrite(|directory, mut views| directory.parked(key, stamp, &mut views))
    }

    /// Changes the own section, and wakes whoever watches it if that is what it did.
    fn rewrite(&self, change: impl FnOnce(&mut Directory, &Views) -> bool) -> bool {
        let mut directory = self.lock();
        let changed = change(&mut directory, &self.views);
        if changed {
            self.publish(directory);
        }
        changed
    }
}
