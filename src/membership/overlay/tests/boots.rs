//! Which of several boots of one name counts, and which is over.

use super::*;

#[test]
fn everything_about_a_lower_incarnation_is_ignored() {
    for state in [Alive, Unreachable, Suspect, Dead, Purged, Left] {
        let mut world = World::with_peer(state);
        let before = world.state();
        let incarnation = EARLIER_BOOT;
        for observation in [
            says(incarnation, AdvertState::Left),
            link_up(incarnation),
            Observation::LinkHeard { name: peer(), incarnation, last_heard: world.now },
            Observation::LinkDown { name: peer(), incarnation },
            goodbye(incarnation),
            section_empty(incarnation),
        ] {
            assert_eq!(world.see(observation.clone()), vec![], "{observation:?} in {state:?}");
        }
        assert_eq!(world.state(), before);
        assert_eq!(world.overlay.highest_incarnation(&peer()), Some(BOOT));
    }
}

#[test]
fn only_gossip_and_a_new_link_make_a_member_or_supersede_one() {
    let incarnation = NEXT_BOOT;
    for mut world in [World::new(), World::with_peer(Alive)] {
        let before = world.state();
        for observation in [
            Observation::LinkHeard { name: peer(), incarnation, last_heard: world.now },
            Observation::LinkDown { name: peer(), incarnation },
            goodbye(incarnation),
            section_empty(incarnation),
            dial_failed(),
        ] {
            assert_eq!(world.see(observation.clone()), vec![], "{observation:?}");
        }
        assert_eq!(world.state(), before);
    }
}

#[test]
fn a_purged_incarnation_comes_back_only_with_proof_of_life() {
    let mut world = World::with_peer(Purged);
    world.heartbeat += 1;
    assert_eq!(world.lose(), vec![], "gossip that only repeats it is no proof");
    world.heartbeat -= 2;
    assert_eq!(world.beat(), vec![], "its verdict may be late");
    assert_eq!(world.beat(), change(BOOT, None, Unreachable));
    assert!(world.overlay.fences.len() == 0, "the member itself is the fence now");

    let mut world = World::with_peer(Purged);
    assert_eq!(world.see(link_up(BOOT)), change(BOOT, None, Alive));
}

#[test]
fn an_incarnation_that_left_does_not_come_back_but_the_next_one_does() {
    let mut world = World::with_peer(Left);
    assert_eq!(world.beat(), vec![]);
    assert_eq!(world.see(link_up(BOOT)), vec![]);
    assert_eq!(world.see(link_up(NEXT_BOOT)), change(NEXT_BOOT, None, Alive));
}

#[test]
fn a_boot_is_over_under_a_lower_incarnation_and_under_that_of_one_that_left() {
    let over = |state, boot| World::with_peer(state).overlay.superseding(&peer(), boot);
    for state in [Alive, Dead, Purged] {
        assert_eq!(over(state, EARLIER_BOOT), Some(BOOT), "{state:?}");
        assert_eq!([over(state, BOOT), over(state, NEXT_BOOT)], [None; 2], "{state:?}");
    }
    assert_eq!([EARLIER_BOOT, BOOT, NEXT_BOOT].map(|boot| over(Left, boot)), [Some(BOOT), Some(BOOT), None]);
}

#[test]
fn a_fence_ends_after_a_day() {
    let mut world = World::with_peer(Left);
    world.pass(limits::FENCE_KEPT - SECOND);
    assert_eq!(world.see(link_up(EARLIER_BOOT)), vec![]);
    world.pass(SECOND);
    assert_eq!(world.overlay.highest_incarnation(&peer()), None);
    assert_eq!(world.see(link_up(EARLIER_BOOT)), change(EARLIER_BOOT, None, Alive));
}

#[test]
fn the_own_name_is_never_a_member_but_a_later_boot_of_it_is_reported() {
    let mut overlay = Overlay::new(name("me"), BOOT, OverlayTimers::default());
    let own = |incarnation| GossipView { name: name("me"), ..view(incarnation, true, 1) };
    for incarnation in [EARLIER_BOOT, BOOT] {
        assert_eq!(overlay.observe(Observation::Gossip(own(incarnation)), SECOND), vec![]);
        assert_eq!(overlay.self_superseded_by(), None);
        assert_eq!(overlay.highest_incarnation(&name("me")), Some(BOOT), "a namesake that asks learns it");
    }
    let up = Observation::LinkUp { name: name("me"), incarnation: NEXT_BOOT, addr: addr(1) };
    assert_eq!(overlay.observe(up, SECOND), vec![]);
    overlay.observe(Observation::Gossip(own(BOOT)), SECOND);
    assert_eq!(overlay.self_superseded_by(), Some(NEXT_BOOT));
    assert_eq!(overlay.members().count(), 0);
}

// Bounds, accessors and the ring.
