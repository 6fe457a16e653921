//! How many sessions of one user there is room for.

use crate::config::Takeover;
use crate::directory::policy::Contender;
use crate::key::Key;

/// Which claims the stamp of a new one has to exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeds {
    /// Those of its key.
    Session,
    /// Those of its user, whose sessions exclude each other.
    User,
}

/// Which claims the stamp of a new one has to exceed.
#[must_use]
pub fn exceeds(policy: Takeover) -> Exceeds {
    if policy.sessions_max().is_some() { Exceeds::User } else { Exceeds::Session }
}

/// Of the sessions of a user, one a key, those for which the policy leaves no room. Each with the newest session of the user,
/// which stays.
#[must_use]
pub fn excluded<'a, T: Copy>(
    policy: Takeover,
    sessions: impl IntoIterator<Item = T>,
    claim: impl Fn(T) -> Contender<'a>,
) -> Vec<(T, T)> {
    let Some(sessions_max) = policy.sessions_max() else { return Vec::new() };
    let mut sessions: Vec<_> = sessions.into_iter().collect();
    newest_first(&mut sessions, claim);
    let Some(newest) = sessions.first().copied() else { return Vec::new() };
    sessions.into_iter().skip(sessions_max).map(|session| (session, newest)).collect()
}

/// Of the sessions of a user, one a key, those that a claim of `key`, made now, excludes: the session of the same key, and
/// those that the policy does not leave beside it. The newest first.
#[must_use]
pub fn displaced<'a, T: Copy>(
    policy: Takeover,
    key: Key,
    mut sessions: Vec<T>,
    claim: impl Fn(T) -> Contender<'a>,
) -> Vec<T> {
    newest_first(&mut sessions, &claim);
    let mut beside = policy.sessions_max().map_or(usize::MAX, |sessions_max| sessions_max - 1);
    sessions.retain(|session| {
        let is_same = claim(*session).key == key;
        let stays = !is_same && beside > 0;
        beside -= usize::from(stays);
        !stays
    });
    sessions
}

fn newest_first<'a, T: Copy>(sessions: &mut [T], claim: impl Fn(T) -> Contender<'a>) {
    sessions.sort_unstable_by(|a, b| {
        let [a, b] = [a, b].map(|session| claim(*session));
        b.age.cmp(&a.age).then(a.key.cmp(&b.key))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::ClaimState;
    use crate::directory::tests::name;
    use crate::id::{Incarnation, NodeName, Stamp};
    use crate::key::{DeviceHash, UserHash};

    fn key(device: u64) -> Key {
        Key { user: UserHash { high: 0, low: 0 }, device: DeviceHash(device) }
    }

    /// Sessions of the devices 1, 2, 3, of which 2 is the newest and 3 the oldest.
    fn sessions(owner: &NodeName) -> Vec<Contender<'_>> {
        let session = |(device, stamp)| {
            let age = (Stamp::from_raw(stamp), owner, Incarnation(1));
            Contender { key: key(device), state: ClaimState::Connected, age }
        };
        [(1, 5), (2, 9), (3, 1)].map(session).into()
    }

    fn device(session: Contender<'_>) -> u64 {
        session.key.device.0
    }

    #[test]
    fn the_oldest_sessions_of_a_user_make_room() {
        let owner = name("a");
        let beyond = |policy| -> Vec<_> {
            let excluded = excluded(policy, sessions(&owner), |session| session);
            excluded.into_iter().map(|(session, newest)| (device(session), device(newest))).collect()
        };
        assert_eq!(beyond(Takeover::OnePerUser), [(1, 2), (3, 2)]);
        assert_eq!(beyond(Takeover::MaxPerUser(2)), [(3, 2)]);
        assert_eq!(beyond(Takeover::MaxPerUser(3)), []);
        assert_eq!(beyond(Takeover::ExclusiveDevice), []);
        assert_eq!(beyond(Takeover::RejectNewer), []);
    }

    #[test]
    fn a_claim_displaces_its_own_key_and_what_is_left_no_room_beside_it() {
        let owner = name("a");
        let made = |policy, claimed| -> Vec<_> {
            displaced(policy, key(claimed), sessions(&owner), |session| session)
                .into_iter()
                .map(device)
                .collect()
        };
        assert_eq!(made(Takeover::ExclusiveDevice, 3), [3]);
        assert_eq!(made(Takeover::ExclusiveDevice, 4), [0; 0]);
        assert_eq!(made(Takeover::OnePerUser, 4), [2, 1, 3]);
        assert_eq!(made(Takeover::MaxPerUser(2), 4), [1, 3], "the newest of the others stays");
        assert_eq!(made(Takeover::MaxPerUser(2), 2), [2, 3], "and so where the key itself is the newest");
        assert_eq!(made(Takeover::MaxPerUser(3), 3), [3]);
    }

    #[test]
    fn a_stamp_exceeds_what_its_claim_may_exclude() {
        assert_eq!(exceeds(Takeover::OnePerUser), Exceeds::User);
        assert_eq!(exceeds(Takeover::MaxPerUser(2)), Exceeds::User);
        assert_eq!(exceeds(Takeover::ExclusiveDevice), Exceeds::Session);
        assert_eq!(exceeds(Takeover::RejectNewer), Exceeds::Session);
    }
}
