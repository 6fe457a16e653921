//! How a claim takes a session over.

use super::*;

fn takeover(owners: &[&str]) -> Takeover<u64> {
    Takeover::new(key(), fence(7, "c"), Some(stamp(5)), owners.iter().map(|name| boot(name)))
}

fn asks(to: &str, group: &str) -> TakeoverEffect<u64> {
    TakeoverEffect::Ask { to: boot(to), group: boot(group), seal: seal(7) }
}

fn released(to: &str, group: &str, held: &[Position], complete: bool) -> TakeoverEffect<u64> {
    let release =
        Release { key: key(), fence: fence(7, "c"), held: held.iter().copied().collect(), complete };
    TakeoverEffect::Release { to: boot(to), group: boot(group), release }
}

#[test]
fn who_seals_has_all_that_is_stored_once_none_is_left_that_could_store() {
    let mut group = Group::new(&["m", "n"]);
    group.deaf = vec![boot("m")];
    group.append(1).unwrap();
    let mut takeover = takeover(&["a"]);
    assert_eq!(takeover.ask(), [TakeoverEffect::Locate(boot("a"))]);
    assert_eq!(takeover.announced(&boot("a"), group.owner.config()), [asks("m", "a"), asks("n", "a")]);
    let nothing = group.member("m").seal(seal(7));
    assert_eq!(takeover.answered(&boot("a"), &boot("m"), nothing), [], "the other one may have something");
    assert_eq!(takeover.answered(&boot("a"), &boot("n"), SealAnswer::Unknown), []);
    let tail = group.member("n").seal(seal(7));
    let taken = TakeoverEffect::Taken(vec![entry_of(7, 1)]);
    assert_eq!(takeover.answered(&boot("a"), &boot("n"), tail), [taken, TakeoverEffect::Complete]);
    assert_eq!(takeover.ask(), []);
}

#[test]
fn while_members_change_a_claim_seals_all_that_may_be_in_effect() {
    // One that is to be a member has accepted, and the one that has to has not.
    let changes = vec![config(1, &["m"]), config(2, &["n"])];
    let mut member = GroupMember::new(boot("n"), boot("a"), false);
    member.open(config(2, &["n"]), 0, Held::nothing()).unwrap();
    member.propose(changes.clone()).unwrap();
    let mut takeover = takeover(&["a"]);
    assert_eq!(takeover.announced(&boot("a"), &config(0, &["n"])), [asks("n", "a")]);
    let answered = takeover.answered(&boot("a"), &boot("n"), member.seal(seal(7)));
    assert_eq!(answered, [asks("m", "a")], "it may not be in effect");
    let is_over = |effects: Vec<_>| effects.contains(&TakeoverEffect::Complete);
    let mut told = takeover.clone();
    assert!(is_over(told.announced(&boot("a"), &changes[1])));
    let mut member = opened("m", "a", Held::nothing());
    assert!(is_over(takeover.answered(&boot("a"), &boot("m"), member.seal(seal(7)))));
}

#[test]
fn whoever_takes_over_goes_on_to_all_that_the_members_point_to() {
    let mut owner = Group::new(&["m"]);
    let effects = owner.owner.follow(key(), stamp(5), vec![boot("d")]).unwrap();
    owner.work(effects);
    assert_eq!(owner.followed, [stamp(5)]);
    owner.append(2).unwrap();
    let mut takeover = takeover(&["a"]);
    let _ = takeover.announced(&boot("a"), owner.owner.config());
    let answer = owner.member("m").seal(seal(7));
    let answered = takeover.answered(&boot("a"), &boot("m"), answer);
    assert_eq!(answered, [TakeoverEffect::Locate(boot("d"))]);
    assert_eq!(takeover.announced(&boot("d"), &config(1, &["o"])), [asks("o", "d")]);
    let effects = takeover.answered(&boot("d"), &boot("o"), tail(vec![entry(1)], &["a", "c"]));
    let taken = TakeoverEffect::Taken(vec![entry_of(7, 1), entry_of(7, 2)]);
    assert_eq!(effects, [taken, TakeoverEffect::Complete]);
}

#[test]
fn what_was_taken_is_released_once_members_of_the_own_group_have_it() {
    let mut takeover = takeover(&["a"]);
    let _ = takeover.announced(&boot("a"), &config(1, &["m"]));
    let effects = takeover.answered(&boot("a"), &boot("m"), tail(vec![entry(1), entry(2)], &[]));
    assert_eq!(effects.len(), 2, "{effects:?}");
    assert_eq!(takeover.stored(at(1)), []);
    let both = &[at(1), at(2)];
    let told = |boot| released(boot, "a", both, true);
    assert_eq!(takeover.stored(at(2)), [told("a"), told("m"), TakeoverEffect::Settled]);
    assert_eq!(takeover.stored(at(2)), [], "once");
    // A member that has not heard of it offers it again. Nobody else is told again but the owner, which may not have heard either.
    assert_eq!(takeover.offered(&boot("a"), &boot("m")), [asks("m", "a")]);
    let again = takeover.answered(&boot("a"), &boot("m"), tail(vec![entry(1)], &[]));
    assert_eq!(again, [told("a"), told("m")]);
}

#[test]
fn a_group_is_followed_only_once_one_of_its_members_has_said_what_it_holds() {
    let mut takeover = takeover(&["a"]);
    let _ = takeover.announced(&boot("a"), &config(1, &["m"]));
    let of_d = |takeover: &mut Takeover<u64>, answer| takeover.answered(&boot("d"), &boot("o"), answer);
    assert_eq!(of_d(&mut takeover, SealAnswer::Unknown), []);
    assert_eq!(of_d(&mut takeover, SealAnswer::Newer(vec![config(2, &["p"])])), []);
    let mut followed = takeover.clone();
    assert_eq!(of_d(&mut followed, tail(vec![entry(1)], &[])), []);
    let from_a =
        |takeover: &mut Takeover<u64>| takeover.answered(&boot("a"), &boot("m"), tail(Vec::new(), &[]));
    assert!(from_a(&mut takeover).contains(&TakeoverEffect::Complete));
    assert_eq!(from_a(&mut followed), [], "the rest of that group may have more");
}

#[test]
fn a_claim_that_gives_up_takes_what_there_is_and_the_rest_when_it_comes() {
    let mut takeover = takeover(&["a"]);
    let _ = takeover.announced(&boot("a"), &config(1, &["m", "n"]));
    assert_eq!(takeover.answered(&boot("a"), &boot("m"), tail(vec![entry(1)], &[])), []);
    assert_eq!(takeover.give_up(), [TakeoverEffect::Taken(vec![entry_of(7, 1)])]);
    let released = [released("a", "a", &[at(1)], false), released("m", "a", &[at(1)], false)];
    assert_eq!(takeover.stored(at(1)), released, "others may still have more");
    let late = takeover.answered(&boot("a"), &boot("n"), tail(vec![entry(1), entry(2)], &[]));
    assert_eq!(late, [TakeoverEffect::Taken(vec![entry_of(7, 2)]), TakeoverEffect::Complete]);
}

#[test]
fn what_comes_late_may_stand_before_what_was_taken_and_what_the_client_has_is_not_taken() {
    let mut takeover = takeover(&["a"]);
    let _ = takeover.announced(&boot("a"), &config(1, &["m"]));
    let effects = takeover.answered(&boot("a"), &boot("m"), tail(vec![entry(4)], &[]));
    assert_eq!(effects, [TakeoverEffect::Taken(vec![entry_of(7, 4)]), TakeoverEffect::Complete]);
    assert_eq!(takeover.trimmed(at(2)), []);
    let late = takeover.answered(&boot("d"), &boot("o"), tail(vec![entry(2), entry(3)], &[]));
    assert_eq!(late, [TakeoverEffect::Taken(vec![entry_of(7, 3)])]);
}

#[test]
fn where_an_owner_and_its_members_are_over_nobody_is_waited_for() {
    let mut takeover = takeover(&["a"]);
    let _ = takeover.announced(&boot("a"), &config(1, &["m", "n"]));
    assert_eq!(takeover.answered(&boot("a"), &boot("m"), tail(vec![entry(1)], &[])), []);
    assert_eq!(takeover.over(&boot("n")), [], "its owner may still open another one");
    let taken = TakeoverEffect::Taken(vec![entry_of(7, 1)]);
    assert_eq!(takeover.over(&boot("a")), [taken, TakeoverEffect::Exhausted]);
    assert!(!takeover.is_complete());
}

#[test]
fn a_claim_that_is_refused_is_over() {
    let mut takeover = takeover(&["a"]);
    let _ = takeover.announced(&boot("a"), &config(1, &["m"]));
    let above = Some(fence(8, "d"));
    let refused = takeover.answered(&boot("a"), &boot("m"), SealAnswer::Refused(above.clone()));
    assert_eq!(refused, [TakeoverEffect::Refused(above)]);
    assert_eq!((takeover.ask(), takeover.offered(&boot("a"), &boot("m"))), (Vec::new(), Vec::new()));
}

#[test]
fn an_owner_that_hears_of_a_greater_claim_elsewhere_stores_nothing_more() {
    let mut group = Group::new(&["m"]);
    group.append(1).unwrap();
    let effects = group.owner.depose(key(), fence(7, "c"));
    group.work(effects);
    assert_eq!(group.deposed, [fence(7, "c")]);
    assert_eq!(group.append(2), Err(Deposed(fence(7, "c"))));
    assert_eq!((group.stored.len(), group.member("m").held(key()).count()), (1, 1), "what was stored stays");
    let lower = group.member("m").seal(seal(6));
    assert_eq!(lower, SealAnswer::Refused(Some(fence(7, "c"))), "its members know of it");
    let effects = group.owner.append(entry_of(9, 3)).unwrap();
    group.work(effects);
    assert_eq!(group.stored, [1, 3], "a later claim of its own stands");
}

#[test]
fn a_member_that_knows_of_too_many_owners_says_that_it_knows_nothing() {
    let owners = |count: usize| (0..count).map(|at| boot(&format!("o{at}"))).collect();
    let follows = |count| Held { follows: vec![(key(), stamp(5), owners(count))], ..Held::nothing() };
    let most = limits::OWNERS_FOLLOWED_MAX;
    let answer = opened("m", "a", follows(most)).seal(seal(7));
    assert!(matches!(answer, SealAnswer::Tail { beyond, .. } if beyond.len() == most));
    let mut member = opened("m", "a", follows(most + 1));
    assert_eq!(member.seal(seal(7)), SealAnswer::Unknown);
    assert_eq!(member.fence_of(key()), Some(&fence(5, "a")), "it is not sealed");
}

#[test]
fn a_claim_that_is_told_of_too_many_changes_is_not_complete() {
    let mut takeover = takeover(&["a"]);
    let _ = takeover.announced(&boot("a"), &config(1, &["m"]));
    let newer = |epochs: std::ops::RangeInclusive<u32>| {
        SealAnswer::Newer(epochs.map(|epoch| config(epoch, &["m"])).collect())
    };
    let sealed =
        |epoch| SealAnswer::Tail { epoch, configs: Vec::new(), entries: Vec::new(), beyond: Vec::new() };
    let most = limits::CONFIGS_KNOWN_MAX as u32;
    let mut all = takeover.clone();
    let _ = all.answered(&boot("a"), &boot("m"), newer(1..=most));
    let _ = all.answered(&boot("a"), &boot("m"), sealed(most));
    assert!(all.is_complete());
    let _ = takeover.answered(&boot("a"), &boot("m"), newer(1..=most + 1));
    let _ = takeover.answered(&boot("a"), &boot("m"), sealed(most + 1));
    assert!(!takeover.is_complete());
}
