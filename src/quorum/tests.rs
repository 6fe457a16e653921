//! Single steps of the machines, each of which the fast level of the simulations takes in all orders.

use std::collections::{BTreeSet, VecDeque};

use super::*;
use crate::id::{Incarnation, NodeName, Stamp};
use crate::key::{DeviceHash, Key, UserHash};
use crate::limits;
use crate::position::{Position, Segment};

mod forgetting;
mod takeover;

fn boot(name: &str) -> Boot {
    Boot { name: NodeName::new(name).unwrap(), incarnation: Incarnation(1) }
}

fn key() -> Key {
    Key { user: UserHash { high: 1, low: 2 }, device: DeviceHash(3) }
}

fn stamp(raw: u64) -> Stamp {
    Stamp::from_raw(raw)
}

fn fence(raw: u64, by: &str) -> Fence {
    Fence { stamp: stamp(raw), by: boot(by) }
}

fn at(number: u64) -> Position {
    Position { segment: Segment::of(&boot("a").name, boot("a").incarnation, stamp(5)), number }
}

fn entry(number: u64) -> Entry<u64> {
    Entry { key: key(), claim: stamp(5), at: at(number), message: number }
}

/// What is held after a takeover.
fn entry_of(claim: u64, number: u64) -> Entry<u64> {
    Entry { claim: stamp(claim), ..entry(number) }
}

fn seal(raw: u64) -> Seal {
    Seal { key: key(), fence: fence(raw, "c"), shown: Some(stamp(5)) }
}

fn config(epoch: u32, members: &[&str]) -> Config {
    Config { epoch, members: members.iter().map(|name| boot(name)).collect() }
}

/// A member that is opened with these for itself alone.
fn opened(name: &str, owner: &str, held: Held<u64>) -> GroupMember<u64> {
    let mut member = GroupMember::new(boot(name), boot(owner), false);
    member.open(config(1, &[name]), 0, held).unwrap();
    member
}

fn tail(entries: Vec<Entry<u64>>, beyond: &[&str]) -> SealAnswer<u64> {
    SealAnswer::Tail {
        epoch: 1,
        configs: Vec::new(),
        entries,
        beyond: beyond.iter().map(|name| boot(name)).collect(),
    }
}

/// An owner and boots that may be its members, on links that lose nothing.
struct Group {
    owner: GroupOwner<u64>,
    members: Vec<(Boot, GroupMember<u64>)>,
    /// They take nothing, and say nothing.
    deaf: Vec<Boot>,
    stored: Vec<u64>,
    announced: Vec<u32>,
    deposed: Vec<Fence>,
    followed: Vec<Stamp>,
}

impl Group {
    fn new(members: &[&str]) -> Self {
        let boots: Vec<_> = ["m", "n", "o", "p"].map(boot).to_vec();
        let members_of = |boot: &Boot| (boot.clone(), GroupMember::new(boot.clone(), self::boot("a"), false));
        let mut group = Self {
            owner: GroupOwner::new(boot("a")),
            members: boots.iter().map(members_of).collect(),
            deaf: Vec::new(),
            stored: Vec::new(),
            announced: Vec::new(),
            deposed: Vec::new(),
            followed: Vec::new(),
        };
        group.change(members);
        group
    }

    fn change(&mut self, members: &[&str]) {
        let effects = self.owner.change(members.iter().map(|name| boot(name)).collect());
        self.work(effects);
    }

    fn append(&mut self, number: u64) -> Result<(), Deposed> {
        let effects = self.owner.append(entry(number))?;
        self.work(effects);
        Ok(())
    }

    fn member(&mut self, name: &str) -> &mut GroupMember<u64> {
        &mut self.members.iter_mut().find(|(boot, _)| boot.name.as_str() == name).unwrap().1
    }

    fn work(&mut self, effects: Vec<OwnerEffect<u64>>) {
        let mut effects = VecDeque::from(effects);
        let mut steps = 0..1_000;
        while let Some(effect) = effects.pop_front() {
            steps.next().expect("it comes to an end");
            match effect {
                OwnerEffect::Tell(News::Stored { at, .. }) => self.stored.push(at.number),
                OwnerEffect::Tell(News::Followed { claim, .. }) => self.followed.push(claim),
                OwnerEffect::Announce { config, .. } => self.announced.push(config.epoch),
                OwnerEffect::Tell(News::Deposed { fence, .. }) => self.deposed.push(fence),
                OwnerEffect::Send { to, frame } if !self.deaf.contains(&to) => {
                    effects.extend(self.deliver(&to, frame));
                }
                OwnerEffect::Send { .. } => {}
            }
        }
    }

    fn deliver(&mut self, to: &Boot, frame: ToMember<u64>) -> Vec<OwnerEffect<u64>> {
        let member = &mut self.members.iter_mut().find(|(boot, _)| boot == to).unwrap().1;
        let more = match frame {
            ToMember::Open { config, place, held } => {
                member.open(config, place, held).map(|opened| self.owner.opened(to, opened))
            }
            ToMember::Logged { place, op } => {
                member.logged(place, op).map(|acked| self.owner.acked(to, acked))
            }
            ToMember::Propose { configs } => {
                member.propose(configs).map(|accepted| self.owner.accepted(to, accepted))
            }
        };
        more.unwrap_or_default()
    }
}

#[test]
fn a_message_is_stored_once_a_member_has_it_and_never_without_members() {
    let mut group = Group::new(&["m", "n"]);
    assert_eq!(group.announced, [1]);
    group.deaf = vec![boot("m")];
    group.append(1).unwrap();
    assert_eq!(group.stored, [1]);
    group.deaf.push(boot("n"));
    group.append(2).unwrap();
    assert_eq!(group.stored, [1]);
    let mut alone = Group::new(&[]);
    alone.append(1).unwrap();
    assert!(alone.stored.is_empty());
}

#[test]
fn a_member_refuses_what_is_below_its_fence_and_a_later_claim_of_its_owner_stands() {
    let mut group = Group::new(&["m", "n"]);
    group.append(1).unwrap();
    assert_eq!(group.member("m").seal(seal(7)), tail(vec![entry(1)], &[]));
    group.append(2).unwrap();
    assert_eq!((&*group.deposed, &*group.stored), (&[fence(7, "c")][..], &[1][..]));
    assert_eq!(group.append(3), Err(Deposed(fence(7, "c"))));
    let lower = group.member("n").seal(seal(6));
    assert_eq!(lower, SealAnswer::Refused(Some(fence(7, "c"))), "the owner has told the other one");
    let effects = group.owner.append(entry_of(9, 4)).unwrap();
    group.work(effects);
    assert_eq!(group.stored, [1, 4]);
    assert_eq!(group.member("m").seal(seal(8)), SealAnswer::Refused(Some(fence(9, "a"))));
}

#[test]
fn what_a_claim_has_refused_is_said_also_after_the_owner_has_claimed_again() {
    let mut member = opened("m", "a", Held::nothing());
    member.seal(seal(7));
    let op = |claim, number| Op::Append(entry_of(claim, number));
    let refusal = |fence, place| vec![Refusal { key: key(), fence, place }];
    assert_eq!(member.logged(1, op(5, 1)).unwrap().refused, refusal(fence(7, "c"), 1));
    assert_eq!(
        member.logged(2, op(9, 2)).unwrap().refused,
        refusal(fence(7, "c"), 1),
        "the first one may be lost"
    );
}

#[test]
fn a_session_that_its_owner_claims_anew_is_held_by_that_claim() {
    let mut group = Group::new(&["m"]);
    group.append(1).unwrap();
    let own = Seal { key: key(), fence: fence(8, "a"), shown: Some(stamp(5)) };
    assert_eq!(group.member("m").seal(own), tail(vec![entry(1)], &[]));
    // Still on its way when the session was claimed.
    group.append(2).unwrap();
    assert_eq!((group.stored.len(), group.deposed.len(), group.member("m").held(key()).count()), (2, 0, 2));
    let effects = group.owner.claim(key(), stamp(8)).unwrap();
    group.work(effects);
    assert_eq!(group.member("m").held(key()).collect::<Vec<_>>(), [entry_of(8, 1), entry_of(8, 2)]);
}

#[test]
fn a_new_member_has_all_before_it_counts_and_one_that_goes_points_to_the_new_ones() {
    let mut group = Group::new(&["m", "n"]);
    group.append(1).unwrap();
    group.change(&["n", "o"]);
    assert_eq!(group.announced, [1, 2]);
    assert_eq!(group.member("o").held(key()).count(), 1);
    let configs = vec![config(1, &["m", "n"]), config(2, &["n", "o"])];
    let (entries, beyond) = (vec![entry(1)], Vec::new());
    let tail = SealAnswer::Tail { epoch: 1, configs: configs.clone(), entries, beyond };
    assert_eq!(group.member("m").seal(seal(7)), tail);
    assert_eq!(group.member("p").seal(seal(7)), SealAnswer::Unknown);
    let config = &configs[1];
    group.member("m").announced(config);
    assert_eq!(group.member("m").held(key()).count(), 0);
    assert_eq!(group.member("m").seal(seal(7)), SealAnswer::Newer(vec![config.clone()]));
}

#[test]
fn while_members_change_a_message_is_stored_by_those_in_effect_and_the_new_ones_have_it_before_they_are() {
    let mut group = Group::new(&["m", "n"]);
    // The new ones have opened, and nobody has answered to the change.
    group.deaf = vec![boot("m"), boot("n")];
    group.change(&["o", "p"]);
    group.append(1).unwrap();
    assert!(group.stored.is_empty(), "those that have it are no members yet");
    group.deaf = vec![boot("n"), boot("o"), boot("p")];
    let effects = group.owner.reconnected(&boot("m"));
    group.work(effects);
    assert_eq!((&*group.stored, &*group.announced), (&[1][..], &[1, 2][..]));
    group.append(2).unwrap();
    assert_eq!(group.stored, [1], "an old one counts no more");
}

#[test]
fn a_change_takes_effect_once_a_new_member_has_all_that_is_stored() {
    let mut group = Group::new(&["m", "n"]);
    let effects = group.owner.change(vec![boot("o"), boot("p")]);
    // The new ones are opened, and nothing else arrives.
    let (opens, proposals): (Vec<_>, Vec<_>) =
        effects.into_iter().partition(|effect| matches!(effect, OwnerEffect::Send { .. }));
    assert_eq!((opens.len(), proposals.len()), (2, 0));
    group.deaf = vec![boot("m"), boot("n")];
    group.work(opens);
    group.deaf = vec![boot("o"), boot("p")];
    group.append(1).unwrap();
    let effects = group.owner.reconnected(&boot("m"));
    group.work(effects);
    assert_eq!((&*group.stored, &*group.announced), (&[1][..], &[1][..]), "accepted, but not known");
    group.deaf.clear();
    let effects = group.owner.reconnected(&boot("o"));
    group.work(effects);
    assert_eq!(group.announced, [1, 2]);
}

// A group whose only member was gone for good went from one change to the next, and none came into effect: each boot that was asked held
// what it had been given for ever.
#[test]
fn who_was_given_something_for_a_change_that_is_given_up_holds_it_no_more() {
    let mut group = Group::new(&["m"]);
    group.append(1).unwrap();
    group.deaf = vec![boot("m")];
    group.change(&["n"]);
    group.append(2).unwrap();
    assert_eq!(group.member("n").held(key()).count(), 2);
    group.change(&["o"]);
    assert_eq!(group.member("n").held(key()).count(), 0);
    assert!(!group.member("n").is_member());
    assert_eq!(group.member("o").held(key()).count(), 2);
    // What it was told was lost: it is told again once there is a link.
    let effects = group.owner.change(vec![boot("p")]);
    drop(effects);
    let effects = group.owner.reconnected(&boot("o"));
    group.work(effects);
    assert_eq!(group.member("o").held(key()).count(), 0);
    // Who is in effect holds what it has until another one is.
    assert_eq!(group.member("m").held(key()).count(), 1);
    assert_eq!(group.announced, [1]);
}

#[test]
fn a_change_that_got_stuck_is_given_up_for_the_next_one() {
    let mut group = Group::new(&["m", "n"]);
    let effects = group.owner.change(vec![boot("n"), boot("o")]);
    // All is lost but the opening: the change is proposed, and nobody has heard of it.
    group.deaf = vec![boot("m"), boot("n")];
    group.work(effects);
    group.deaf.push(boot("o"));
    group.change(&["p", "m"]);
    let late = Accepted { epoch: 2, fences: Vec::new() };
    assert_eq!(group.owner.accepted(&boot("n"), late), [], "it is given up");
    assert_eq!(group.announced, [1], "the next one was not accepted yet");
    group.deaf = vec![boot("n"), boot("o")];
    let effects = group.owner.reconnected(&boot("m"));
    group.work(effects);
    assert_eq!(group.announced, [1, 3]);
    assert_eq!(group.owner.config(), &config(3, &["p", "m"]));
}

#[test]
fn a_member_points_to_those_who_have_taken_the_session_over_until_one_of_them_has_all_of_it() {
    let mut member = opened("m", "a", Held::nothing());
    let beyond = |answer| match answer {
        SealAnswer::Tail { beyond, .. } => beyond,
        answer => panic!("{answer:?}"),
    };
    let by = |raw, by| Seal { fence: fence(raw, by), ..seal(raw) };
    assert_eq!(beyond(member.seal(by(7, "c"))), []);
    assert_eq!(beyond(member.seal(by(7, "c"))), [], "it is not sent to itself");
    assert_eq!(beyond(member.seal(by(8, "d"))), [boot("c")]);
    let release = |complete| Release { key: key(), fence: fence(8, "d"), held: BTreeSet::new(), complete };
    member.release(release(false));
    assert_eq!(beyond(member.seal(by(9, "e"))), [boot("c"), boot("d")]);
    member.release(release(true));
    assert_eq!(beyond(member.seal(by(9, "e"))), [boot("d")]);
}

#[test]
fn an_owner_that_has_all_of_a_session_follows_nobody_any_more() {
    let mut group = Group::new(&["m"]);
    for (owners, said) in [(vec![boot("d")], &["d"][..]), (Vec::new(), &[])] {
        let effects = group.owner.follow(key(), stamp(5), owners.clone()).unwrap();
        group.work(effects);
        assert_eq!(group.owner.follows(key()).cloned().collect::<Vec<_>>(), owners);
        assert_eq!(group.member("m").clone().seal(seal(7)), tail(Vec::new(), said));
    }
}

#[test]
fn an_owner_that_hears_of_a_takeover_by_its_release_alone_stores_nothing_more() {
    let mut group = Group::new(&["m"]);
    group.append(1).unwrap();
    group.member("m").seal(seal(7));
    group.deaf = vec![boot("m")];
    group.append(2).unwrap();
    let release = Release { key: key(), fence: fence(7, "c"), held: [at(1)].into(), complete: true };
    let effects = group.owner.release(release);
    group.work(effects);
    assert_eq!(group.deposed, [fence(7, "c")]);
    group.deaf.clear();
    let effects = group.owner.reconnected(&boot("m"));
    group.work(effects);
    assert_eq!(group.append(3), Err(Deposed(fence(7, "c"))));
    assert_eq!(group.stored, [1]);
}

#[test]
fn a_member_holds_what_its_owner_has_written_again_since_the_claim_that_releases() {
    let mut member = opened("m", "a", Held::nothing());
    for (place, entry) in [(1, entry(1)), (2, entry(2)), (3, entry_of(8, 1))] {
        member.logged(place, Op::Append(entry)).unwrap();
    }
    member.release(Release { key: key(), fence: fence(7, "c"), held: [at(1)].into(), complete: false });
    assert_eq!(member.held(key()).collect::<Vec<_>>(), [entry_of(8, 1), entry(2)]);
    member.release(Release { key: key(), fence: fence(7, "c"), held: [at(2)].into(), complete: false });
    assert_eq!(member.held(key()).collect::<Vec<_>>(), [entry_of(8, 1)]);
}

#[test]
fn whose_members_are_all_gone_goes_on_without_them_and_says_so() {
    let mut group = Group::new(&["m", "n"]);
    group.deaf = vec![boot("m"), boot("n")];
    group.change(&["o", "p"]);
    assert_eq!(group.announced, [1]);
    let one = group.owner.over(&boot("m"));
    assert!(one.is_empty(), "the other one may have been sealed");
    let all = group.owner.over(&boot("n"));
    let config = config(2, &["o", "p"]);
    assert_eq!(all, [OwnerEffect::Announce { config, orphaned: true }]);
}

#[test]
fn where_proof_is_asked_for_a_session_is_taken_over_with_its_own_token_only() {
    let mut member = GroupMember::new(boot("m"), boot("a"), true);
    let config = config(1, &["m"]);
    member.open(config, 0, Held { entries: vec![entry(1)], ..Held::nothing() }).unwrap();
    for shown in [None, Some(stamp(4))] {
        assert_eq!(member.seal(Seal { shown, ..seal(7) }), SealAnswer::Refused(None));
    }
    assert_eq!(member.fence_of(key()), Some(&fence(5, "a")));
    let own = Seal { fence: fence(6, "a"), shown: None, ..seal(6) };
    assert!(matches!(member.seal(own), SealAnswer::Tail { .. }), "it is what the owner has written itself");
    assert!(matches!(member.seal(seal(7)), SealAnswer::Tail { .. }));
}

#[test]
fn a_member_that_has_refused_what_another_has_taken_is_given_it_before_that_one_goes() {
    let mut group = Group::new(&["m", "n"]);
    // A claim has reached one of them, and is given up.
    group.member("n").seal(seal(7));
    let mut late = Vec::new();
    for effect in group.owner.append(entry(1)).unwrap() {
        let OwnerEffect::Send { to, frame: ToMember::Logged { place, op } } = effect else {
            panic!("{effect:?}")
        };
        let acked = group.member(to.name.as_str()).logged(place, op).unwrap();
        late.push((to, acked));
    }
    let (n, refused) = late.pop().unwrap();
    let (m, taken) = late.pop().unwrap();
    let effects = group.owner.acked(&m, taken);
    group.work(effects);
    assert_eq!(group.stored, [1]);
    // The other one goes before the owner hears of the refusal.
    group.deaf = vec![boot("n")];
    group.change(&["n"]);
    assert_eq!((group.member("n").held(key()).count(), &*group.announced), (0, &[1][..]));
    group.deaf.clear();
    let effects = group.owner.acked(&n, refused);
    group.work(effects);
    assert_eq!((group.member("n").held(key()).count(), &*group.announced), (1, &[1, 3][..]));
    assert_eq!(group.deposed, [fence(7, "c")], "it goes on to say so");
}

#[test]
fn a_member_that_lacks_something_is_given_it_also_when_it_has_all_that_was_logged_since() {
    let mut group = Group::new(&["m"]);
    group.deaf = vec![boot("o")];
    group.change(&["n", "o"]);
    group.member("n").seal(seal(7));
    group.append(1).unwrap();
    assert_eq!(
        (group.member("n").held(key()).count(), &*group.deposed),
        (0, &[fence(7, "c")][..]),
        "refused"
    );
    group.deaf.clear();
    let effects = group.owner.reconnected(&boot("o"));
    group.work(effects);
    assert_eq!((group.member("n").held(key()).count(), &*group.announced), (1, &[1, 3][..]));
}

#[test]
fn a_member_that_has_not_heard_of_a_change_accepts_the_next_one() {
    let mut group = Group::new(&["m", "n"]);
    group.deaf = vec![boot("n")];
    group.change(&["n"]);
    group.deaf.clear();
    group.change(&["n", "o"]);
    assert_eq!(group.announced, [1, 2, 3]);
}

#[test]
fn a_member_whose_log_ends_with_the_greatest_place_takes_nothing_more() {
    let mut member = opened("m", "a", Held::nothing());
    member.open(config(2, &["m"]), u64::MAX, Held::nothing()).unwrap();
    assert_eq!(member.logged(u64::MAX, Op::Append(entry(1))), None);
    assert_eq!(member.held(key()).count(), 0);
}

#[test]
fn what_is_released_is_said_in_parts_of_which_the_last_is_complete() {
    let most = limits::RELEASED_MAX as u64;
    let of = |count: u64, complete| Release {
        key: key(),
        fence: fence(7, "c"),
        held: (1..=count).map(at).collect(),
        complete,
    };
    for few in [of(0, true), of(most, false)] {
        assert_eq!(few.clone().parts(), [few]);
    }
    let parts = of(most + 2, true).parts();
    let sizes: Vec<_> = parts.iter().map(|part| (part.held.len(), part.complete)).collect();
    assert_eq!(sizes, [(limits::RELEASED_MAX, false), (2, true)]);
    let held: BTreeSet<_> = parts.into_iter().flat_map(|part| part.held).collect();
    assert_eq!(held, of(most + 2, true).held);
}

#[test]
fn what_a_boot_says_of_an_earlier_opening_does_not_count() {
    let mut group = Group::new(&["m", "n"]);
    group.member("n").seal(seal(7));
    group.append(1).unwrap();
    let acked = Acked { place: 2, refused: Vec::new() };
    let opens: Vec<_> = group.owner.change(vec![boot("n")]);
    assert!(matches!(&*opens, [OwnerEffect::Send { frame: ToMember::Open { place: 2, .. }, .. }]));
    let late = Opened { epoch: 2, place: 1, acked };
    assert_eq!(group.owner.opened(&boot("n"), late), [], "no change is proposed");
    group.work(opens);
    assert_eq!(group.announced, [1, 2]);
}
