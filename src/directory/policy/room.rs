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
    mut sessions: Vec<T>,
    claim: impl Fn(T) -> (Key, Contender<'a>),
) -> Vec<(T, T)> {
    let Some(sessions_max) = policy.sessions_max() else { return Vec::new() };
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
    claim: impl Fn(T) -> (Key, Contender<'a>),
) -> Vec<T> {
    newest_first(&mut sessions, &claim);
    let mut beside = policy.sessions_max().map_or(usize::MAX, |sessions_max| sessions_max - 1);
    sessions.retain(|session| {
        let is_same = claim(*session).0 == key;
        let stays = !is_same && beside > 0;
        beside -= usize::from(stays);
        !stays
    });
    sessions
}

fn newest_first<'a, T: Copy>(sessions: &mut [T], claim: impl Fn(T) -> (Key, Contender<'a>)) {
    sessions.sort_unstable_by(|a, b| {
        let [(a_key, a), (b_key, b)] = [a, b].map(|session| claim(*session));
        b.age.cmp(&a.age).then(a_key.cmp(&b_key))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::ClaimState;
    use crate::id::{Incarnation, NodeName, Stamp};
    use crate::key::{DeviceHash, UserHash};

    fn key(device: u64) -> Key {
        Key { user: UserHash { high: 0, low: 0 }, device: DeviceHash(device) }
    }

    /// Runs a rule over sessions of the devices 1, 2, 3, of which 2 is the newest and 3 the oldest.
    fn over<R>(rule: impl FnOnce(Vec<u64>, &dyn Fn(u64) -> (Key, Contender<'static>)) -> R) -> R {
        let owner: &'static NodeName = Box::leak(Box::new(NodeName::new("a").unwrap()));
        let claim = move |device: u64| {
            let stamp = Stamp::from_raw([5, 9, 1][device as usize - 1]);
            (key(device), Contender { state: ClaimState::Connected, age: (stamp, owner, Incarnation(1)) })
        };
        rule(vec![1, 2, 3], &claim)
    }

    #[test]
    fn the_oldest_sessions_of_a_user_make_room() {
        let beyond = |policy| over(|sessions, claim| excluded(policy, sessions, claim));
        assert_eq!(beyond(Takeover::OnePerUser), [(1, 2), (3, 2)]);
        assert_eq!(beyond(Takeover::MaxPerUser(2)), [(3, 2)]);
        assert_eq!(beyond(Takeover::MaxPerUser(3)), []);
        assert_eq!(beyond(Takeover::ExclusiveDevice), []);
        assert_eq!(beyond(Takeover::RejectNewer), []);
    }

    #[test]
    fn a_claim_displaces_its_own_key_and_what_is_left_no_room_beside_it() {
        let made = |policy, device| over(|sessions, claim| displaced(policy, key(device), sessions, claim));
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
