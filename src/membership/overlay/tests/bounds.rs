//! How many members and fences are kept, which address is used, and the ring.

use super::*;

#[test]
fn members_over_the_bound_are_ignored_and_counted() {
    let mut overlay = Overlay::new(name("me"), BOOT, OverlayTimers::default());
    let up =
        |text: String, incarnation| Observation::LinkUp { name: name(&text), incarnation, addr: addr(1) };
    for number in 0..limits::PEERS_MAX {
        assert_eq!(overlay.observe(up(format!("n{number}"), BOOT), SECOND).len(), 1);
    }
    assert_eq!(overlay.observe(up("one-more".to_owned(), BOOT), SECOND), vec![]);
    assert_eq!((overlay.members().count(), overlay.refused()), (limits::PEERS_MAX, 1));
    assert_eq!(
        overlay.observe(up("n7".to_owned(), NEXT_BOOT), SECOND).len(),
        2,
        "a known name is no newcomer"
    );
}

#[test]
fn fences_keep_their_bound_and_the_oldest_goes_first() {
    let mut overlay = Overlay::new(name("me"), BOOT, OverlayTimers::default());
    let mut now = SECOND;
    for number in 0..=limits::PEERS_MAX {
        let name = name(&format!("n{number}"));
        now += SECOND;
        overlay.observe(Observation::LinkUp { name: name.clone(), incarnation: BOOT, addr: addr(1) }, now);
        overlay.observe(Observation::Goodbye { name, incarnation: BOOT }, now);
    }
    assert_eq!(overlay.fences.len(), limits::PEERS_MAX);
    assert_eq!(overlay.highest_incarnation(&name("n0")), None);
    assert_eq!(overlay.highest_incarnation(&name("n1")), Some(BOOT));
}

#[test]
fn the_address_is_that_of_the_link_until_gossip_tells_the_advertised_one() {
    let mut world = World::new();
    world.see(link_up(BOOT));
    assert_eq!(world.overlay.get(&peer()).unwrap().addr(), addr(2));
    world.beat();
    assert_eq!(world.overlay.get(&peer()).unwrap().addr(), addr(1));
    world.see(link_up(BOOT));
    assert_eq!(world.overlay.get(&peer()).unwrap().addr(), addr(1));
}

#[test]
fn an_advert_that_can_not_be_read_does_not_unsay_the_one_before() {
    let mut world = World::new();
    world.see(says(BOOT, AdvertState::Ready));
    world.beat();
    let member = world.overlay.get(&peer()).unwrap();
    assert_eq!(member.advert(), Some(&advert(AdvertState::Ready)));
    assert_eq!((member.name(), member.incarnation()), (&peer(), BOOT));
}

#[test]
fn the_ring_holds_this_node_and_the_alive_members_in_an_order_that_all_nodes_share() {
    let names = ["a", "b", "c", "d", "e"];
    let ring_of = |me: &str| {
        let mut overlay = Overlay::new(name(me), BOOT, OverlayTimers::default());
        for other in names.iter().filter(|other| **other != me) {
            overlay
                .observe(Observation::LinkUp { name: name(other), incarnation: BOOT, addr: addr(1) }, SECOND);
        }
        overlay.ring()
    };
    let ring = ring_of("a");
    assert_eq!(ring.len(), names.len());
    assert_ne!(ring, names.map(name), "it is not the order of the names");
    assert!(names.iter().all(|me| ring_of(me) == ring));
}

#[test]
fn the_ring_hash_never_changes() {
    // Computed apart from this code: FNV-1a, 64 bits, then fmix64 of MurmurHash3.
    assert_eq!(ring::ring_hash(&name("n1")), 0xf5c0_8557_ac1e_5104);
    assert_eq!(ring::ring_hash(&name("n2")), 0x0597_1310_a213_7c15);
}

#[test]
fn a_draining_member_stays_in_the_ring_and_others_than_alive_do_not() {
    let mut world = World::with_peer(Alive);
    world.see(says(BOOT, AdvertState::Draining));
    assert!(world.overlay.ring().contains(&peer()));
    for state in [Unreachable, Suspect, Dead] {
        assert_eq!(World::with_peer(state).overlay.ring(), vec![name("me")]);
    }
}
