//! What must be true of sessions and their claims in every run of the fast level: who ends for whom, and when a claim goes.

use std::time::Duration;

use pushmesh::NodeName;
use pushmesh::config::Takeover;
use pushmesh::id::Stamp;
use pushmesh::internals::{ClaimState, DeviceHash, Ending, Key, OpeningEffect, Owned};
use pushmesh::limits;

use crate::model::boot::{Boot, Waiting};
use crate::model::client::key_of;
use crate::model::cluster::{Cluster, index_of};

impl Cluster {
    /// The claim of a session is released; `ending` says how the session ended, and when.
    pub(in crate::model) fn check_lingered(
        &mut self,
        boot: &Boot,
        key: Key,
        ending: Option<&(Ending, Duration)>,
    ) {
        let Some((Ending::Superseded { owner, .. }, since)) = ending else { return };
        let lingered = self.now - *since;
        if lingered < limits::RELEASE_LINGER {
            let what = format!("{} releases {key:?} {lingered:?} after {owner} has it", boot.name);
            self.fail("a claim stays until that of its successor is known", what);
        }
    }

    /// A session ends because another node asks for it.
    pub(in crate::model) fn check_yields(
        &mut self,
        boot: &Boot,
        key: Key,
        stamp: Stamp,
        (below, from): (Stamp, &NodeName),
        proven: Option<Stamp>,
    ) {
        let me = &boot.name;
        match self.plan.takeover {
            Takeover::RejectNewer if proven.is_none_or(|proven| stamp > proven) => {
                let what = format!("{me} ends {key:?} with {stamp:?} for who has proven {proven:?}");
                self.fail("a token ends its own session and no later one", what);
            }
            Takeover::RejectNewer => {}
            _ if (below, from) <= (stamp, me) => {
                let what = format!("{me} ends {key:?} with {stamp:?} for {below:?} of {from}");
                self.fail("a session ends only for a later claim", what);
            }
            _ => {}
        }
    }

    /// The sessions of other nodes that a claim excludes, and whose owners it has to ask. Where older claims win these are only
    /// the client's own earlier one. Of the same device the node is asked to which the last session here had to yield, if it had to.
    pub(in crate::model) fn excluded_elsewhere(
        &self,
        boot: &Boot,
        waiting: &Waiting,
        displaced: &[(DeviceHash, Owned)],
        yielded: Option<&(NodeName, Stamp)>,
    ) -> Vec<(DeviceHash, Owned)> {
        if self.plan.takeover == Takeover::RejectNewer && waiting.token.is_none() {
            return Vec::new();
        }
        let own = key_of(waiting.user, waiting.device).device;
        let asked = |(device, owned): &&(DeviceHash, Owned)| {
            owned.owner != boot.name && (*device != own || yielded.is_none())
        };
        displaced.iter().filter(asked).cloned().collect()
    }

    /// The owner of the older session has said to a client that waits at the door that it has it.
    pub(in crate::model) fn check_refused(&mut self, boot: &Boot, effects: &[OpeningEffect]) {
        if effects.iter().any(|effect| matches!(effect, OpeningEffect::Claim { .. })) {
            let what = format!("{} lets in whom the older session keeps out: {effects:?}", boot.name);
            self.fail("a client is refused where the owner of the older session has it", what);
        }
    }

    /// A client is told that it is the session.
    pub(in crate::model) fn check_opens(&mut self, boot: &Boot, waiting: &Waiting) {
        if let Some((device, owned)) = waiting.excludes.first() {
            let what = format!("{} does not ask for {device:?}: {owned:?}", boot.name);
            self.fail("whoever is excluded by a claim is asked to let go", what);
        }
    }

    /// An owner says that it has the session of a claim.
    pub(in crate::model) fn check_confirms(&mut self, boot: &Boot, key: Key, stamp: Stamp) {
        self.history.confirm(boot.node, key, stamp);
        let held = self.history.now(boot.id);
        if !held.contains(&(key, stamp)) {
            let what = format!("{} confirms {key:?} with {stamp:?}, and has {held:?}", boot.name);
            self.fail("an owner confirms what it has claimed, and nothing else", what);
        }
    }

    /// A disputed session ends for the claim of another node.
    pub(in crate::model) fn check_gives_way(&mut self, boot: &Boot, key: Key, ending: &Ending) {
        let winner = ending.clone().successor();
        if winner.is_none_or(|(owner, stamp)| !self.history.was_confirmed(index_of(&owner), key, stamp)) {
            let what = format!("{} gives {key:?} up: {ending:?}", boot.name);
            self.fail("a session gives way only to a claim whose owner has confirmed it", what);
        }
    }

    /// A session has let go because it was asked to.
    pub(in crate::model) fn check_says_so(&mut self, boot: &Boot, key: Key, stamp: Stamp) {
        let known = boot.replica.known(key.user);
        let mut own = known.iter().filter(|known| known.key == key && known.holder.owner == boot.name);
        let silent = own.any(|own| own.claim.stamp == stamp && own.claim.state != ClaimState::Yielded);
        if self.plan.takeover == Takeover::RejectNewer && silent {
            let what = format!("{} lets {key:?} with {stamp:?} go: {known:?}", boot.name);
            self.fail("a claim whose session has yielded says so", what);
        }
    }
}
