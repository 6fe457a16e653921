//! Who has taken a session over is known for as long as anybody may have to ask.

use super::*;

fn beyond(member: &mut GroupMember<u64>, raw: u64) -> Vec<Boot> {
    match member.seal(Seal { fence: fence(raw, "e"), ..seal(raw) }) {
        SealAnswer::Tail { beyond, .. } => beyond,
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn once_its_owner_has_all_again_a_member_points_to_nobody_who_had_it_before() {
    let mut group = Group::new(&["m"]);
    group.member("m").seal(seal(7));
    let effects = group.owner.release(Release {
        key: key(),
        fence: fence(7, "c"),
        held: BTreeSet::new(),
        complete: true,
    });
    group.work(effects);
    assert_eq!(beyond(&mut group.member("m").clone(), 12), [boot("c")]);
    let follow = |group: &mut Group, claim, owners| {
        let effects = group.owner.follow(key(), stamp(claim), owners).unwrap();
        group.work(effects);
    };
    follow(&mut group, 9, vec![boot("c")]);
    assert_eq!(beyond(&mut group.member("m").clone(), 12), [boot("c")], "it has not got all yet");
    follow(&mut group, 9, Vec::new());
    assert_eq!(beyond(&mut group.member("m").clone(), 12), []);
    group.change(&["n"]);
    assert_eq!(beyond(&mut group.member("n").clone(), 12), [], "nor does one that is opened later");
}

#[test]
fn whoever_has_taken_the_session_over_since_is_still_pointed_to() {
    let mut member = opened("m", "a", Held::nothing());
    member.seal(seal(7));
    member.logged(1, Op::Follow { key: key(), claim: stamp(9), owners: vec![boot("c")] }).unwrap();
    member.seal(Seal { fence: fence(11, "d"), ..seal(11) });
    assert!(member.logged(2, Op::Follow { key: key(), claim: stamp(9), owners: Vec::new() }).is_some());
    let all = beyond(&mut member, 12);
    assert!(all.contains(&boot("d")), "{all:?}");
}

#[test]
fn what_was_refused_for_a_claim_is_said_for_as_long_as_its_owner_may_not_know() {
    let mut member = opened("m", "a", Held::nothing());
    member.seal(seal(7));
    member.logged(1, Op::Append(entry(1))).unwrap();
    let acked = member.logged(2, Op::Follow { key: key(), claim: stamp(9), owners: Vec::new() }).unwrap();
    assert_eq!(acked.refused, [Refusal { key: key(), fence: fence(7, "c"), place: 1 }]);
}

#[test]
fn a_session_of_which_nothing_is_held_and_nothing_is_heard_is_forgotten_in_the_second_round() {
    let mut member = opened("m", "a", Held::nothing());
    member.seal(seal(7));
    member.logged(1, Op::Append(entry_of(9, 1))).unwrap();
    member.age();
    member.age();
    assert_eq!(beyond(&mut member.clone(), 12), [boot("c")], "something is held");
    member.logged(2, Op::Trim { key: key(), upto: at(1) }).unwrap();
    member.age();
    assert_eq!((beyond(&mut member.clone(), 12), member.fence_of(key())), (vec![], None));
    let mut group = Group::new(&["m"]);
    let release = || Release { key: key(), fence: fence(7, "c"), held: BTreeSet::new(), complete: true };
    group.owner.release(release());
    group.owner.age();
    assert!(group.owner.taken_by(key()).is_some());
    group.owner.release(release());
    group.owner.age();
    assert!(group.owner.taken_by(key()).is_some(), "it was heard of again");
    group.owner.age();
    assert_eq!(group.owner.taken_by(key()), None);
}
