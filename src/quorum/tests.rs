//! Single steps of the machines, each of which the fast level of the simulations takes in all orders.

use std::collections::VecDeque;

use super::*;
use crate::id::{Incarnation, NodeName, Stamp};
use crate::key::{DeviceHash, Key, UserHash};

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

fn entry(number: u64) -> Entry<u64> {
    Entry { key: key(), stamp: stamp(5), number, message: number }
}

fn seal(raw: u64) -> Seal {
    Seal { key: key(), fence: fence(raw, "c"), shown: Some(stamp(5)) }
}

fn config(epoch: u32, members: &[&str]) -> Config {
    Config { epoch, members: members.iter().map(|name| boot(name)).collect() }
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
                OwnerEffect::Stored { number, .. } => self.stored.push(number),
                OwnerEffect::Announce { config, .. } => self.announced.push(config.epoch),
                OwnerEffect::Deposed { fence, .. } => self.deposed.push(fence),
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
            ToMember::Open { config, place, entries, fences } => {
                member.open(config, place, entries, fences).map(|opened| self.owner.opened(to, opened))
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
fn a_member_refuses_what_is_below_its_fence_and_says_so_until_the_owner_has_claimed_again() {
    let mut group = Group::new(&["m", "n"]);
    group.append(1).unwrap();
    let tail = SealAnswer::Tail { epoch: 1, configs: Vec::new(), entries: vec![entry(1)] };
    assert_eq!(group.member("m").seal(seal(7)), tail);
    group.append(2).unwrap();
    assert_eq!((&*group.deposed, &*group.stored), (&[fence(7, "c")][..], &[1][..]));
    assert_eq!(group.append(3), Err(Deposed(fence(7, "c"))));
    let lower = group.member("n").seal(seal(6));
    assert_eq!(lower, SealAnswer::Refused(Some(fence(7, "c"))), "the owner has told the other one");
    let later = Entry { stamp: stamp(9), ..entry(1) };
    let effects = group.owner.append(later).unwrap();
    group.work(effects);
    assert_eq!(group.stored, [1, 1], "a later claim of the owner itself stands");
    assert_eq!(group.member("m").seal(seal(8)), SealAnswer::Refused(Some(fence(9, "a"))));
}

#[test]
fn a_new_member_has_all_before_it_counts_and_one_that_goes_points_to_the_new_ones() {
    let mut group = Group::new(&["m", "n"]);
    group.append(1).unwrap();
    group.change(&["n", "o"]);
    assert_eq!(group.announced, [1, 2]);
    assert_eq!(group.member("o").held(key()).count(), 1);
    let configs = vec![config(1, &["m", "n"]), config(2, &["n", "o"])];
    let tail = SealAnswer::Tail { epoch: 1, configs: configs.clone(), entries: vec![entry(1)] };
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

#[test]
fn a_change_that_got_stuck_is_given_up_for_the_next_one() {
    let mut group = Group::new(&["m", "n"]);
    let effects = group.owner.change(vec![boot("n"), boot("o")]);
    // All is lost but the opening: the change is proposed, and nobody has heard of it.
    group.deaf = vec![boot("m"), boot("n")];
    group.work(effects);
    group.deaf = vec![boot("n"), boot("o")];
    group.change(&["p", "m"]);
    assert_eq!(group.announced, [1, 3]);
    let late = Accepted { epoch: 2, fences: Vec::new() };
    assert_eq!(group.owner.accepted(&boot("n"), late), [], "it is given up");
    assert_eq!(group.owner.config(), &config(3, &["p", "m"]));
}

#[test]
fn who_seals_has_all_that_is_stored_once_none_is_left_that_could_store() {
    let mut group = Group::new(&["m", "n"]);
    group.deaf = vec![boot("m")];
    group.append(1).unwrap();
    let config = group.owner.config().clone();
    let mut sealing = Sealing::new(key(), fence(7, "c"), Some(stamp(5)), config);
    assert_eq!(sealing.ask().len(), 2);
    let nothing = group.member("m").seal(seal(7));
    assert_eq!(sealing.answered(&boot("m"), nothing), [], "the other one may have something");
    assert_eq!(sealing.answered(&boot("n"), SealAnswer::Unknown), []);
    let tail = group.member("n").seal(seal(7));
    assert_eq!(sealing.answered(&boot("n"), tail), [SealingEffect::Sealed(vec![entry(1)])]);
    assert_eq!(sealing.ask(), []);
}

#[test]
fn while_members_change_a_claim_seals_all_that_may_be_in_effect() {
    let mut group = Group::new(&["m"]);
    // One that is to be a member has accepted, and the one that has to has not.
    let changes = vec![config(1, &["m"]), config(2, &["n"])];
    group.member("n").open(config(2, &["n"]), 0, Vec::new(), Vec::new()).unwrap();
    group.member("n").propose(changes.clone()).unwrap();
    let mut sealing = Sealing::new(key(), fence(7, "c"), Some(stamp(5)), config(0, &["n"]));
    let asks = |name: &str| SealingEffect::Ask { to: boot(name), seal: seal(7) };
    assert_eq!(sealing.ask(), [asks("n")]);
    let tail = group.member("n").seal(seal(7));
    assert_eq!(sealing.answered(&boot("n"), tail.clone()), [asks("m")], "it may not be in effect");
    let mut told = sealing.clone();
    assert_eq!(told.announced(&changes[1]), [SealingEffect::Sealed(Vec::new())]);
    let tail = group.member("m").seal(seal(7));
    assert_eq!(sealing.answered(&boot("m"), tail), [SealingEffect::Sealed(Vec::new())]);
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
    member.open(config, 0, vec![entry(1)], Vec::new()).unwrap();
    for shown in [None, Some(stamp(4))] {
        assert_eq!(member.seal(Seal { shown, ..seal(7) }), SealAnswer::Refused(None));
    }
    assert_eq!(member.fence_of(key()), Some(&fence(5, "a")));
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
    assert_eq!((group.member("n").held(key()).count(), &*group.announced), (1, &[1, 2][..]));
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
    assert_eq!((group.member("n").held(key()).count(), &*group.announced), (1, &[1, 2][..]));
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
