//! The table of the overlay, edge by edge, then incarnations, bounds and the ring.

use super::*;
use crate::membership::member::{Advert, AdvertState};
use MemberState::{Alive, Dead, Left, Purged, Superseded, Suspect, Unreachable};

mod cluster;
mod laws;
mod timeline;

const SECOND: Duration = Duration::from_secs(1);
const BOOT: Incarnation = Incarnation(10);
const NEXT_BOOT: Incarnation = Incarnation(11);
const EARLIER_BOOT: Incarnation = Incarnation(9);

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn peer() -> NodeName {
    name("peer")
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn advert(state: AdvertState) -> Advert {
    Advert {
        state,
        protocol: 1,
        mesh: addr(1),
        http: String::new(),
        zone: None,
        sessions: 0,
        degraded: false,
    }
}

fn view(incarnation: Incarnation, live: bool, heartbeat: u64) -> GossipView {
    GossipView { name: peer(), incarnation, addr: addr(1), live, heartbeat, advert: None }
}

fn says(incarnation: Incarnation, state: AdvertState) -> Observation {
    Observation::Gossip(GossipView { advert: Some(advert(state)), ..view(incarnation, true, 1) })
}

fn link_up(incarnation: Incarnation) -> Observation {
    Observation::LinkUp { name: peer(), incarnation, addr: addr(2) }
}

fn link_down() -> Observation {
    Observation::LinkDown { name: peer(), incarnation: BOOT }
}

fn dial_failed() -> Observation {
    Observation::DialFailed { name: peer() }
}

fn goodbye(incarnation: Incarnation) -> Observation {
    Observation::Goodbye { name: peer(), incarnation }
}

fn section_empty(incarnation: Incarnation) -> Observation {
    Observation::SectionEmpty { name: peer(), incarnation }
}

/// An overlay with a clock, and shorthand for the one peer of most tests.
struct World {
    overlay: Overlay,
    now: Duration,
    heartbeat: u64,
}

impl World {
    fn new() -> Self {
        let overlay = Overlay::new(name("me"), BOOT, OverlayTimers::default());
        Self { overlay, now: SECOND, heartbeat: 0 }
    }

    /// A world in which the peer is in `state`, reached the usual way.
    fn with_peer(state: MemberState) -> Self {
        let mut world = Self::new();
        match state {
            Alive => {
                world.beat();
                world.see(link_up(BOOT));
            }
            Unreachable => _ = world.beat(),
            Suspect => {
                world.beat();
                world.lose();
            }
            Dead => {
                world = Self::with_peer(Suspect);
                world.see(dial_failed());
                world.pass(limits::DEAD_AFTER);
            }
            Purged => {
                world = Self::with_peer(Dead);
                world.pass(limits::PURGE_AFTER);
            }
            Left => {
                world.see(link_up(BOOT));
                world.see(goodbye(BOOT));
            }
            Superseded => unreachable!("that is a change, and never the end of a name"),
        }
        assert_eq!(world.state(), (!state.is_final()).then_some(state), "the scene is set");
        world
    }

    fn see(&mut self, observation: Observation) -> Vec<Change> {
        self.overlay.observe(observation, self.now)
    }

    fn pass(&mut self, time: Duration) -> Vec<Change> {
        self.now += time;
        self.overlay.tick(self.now)
    }

    /// A heartbeat arrives, and gossip calls the peer live.
    fn beat(&mut self) -> Vec<Change> {
        self.heartbeat += 1;
        self.see(Observation::Gossip(view(BOOT, true, self.heartbeat)))
    }

    /// Gossip no longer calls the peer live.
    fn lose(&mut self) -> Vec<Change> {
        self.see(Observation::Gossip(view(BOOT, false, self.heartbeat)))
    }

    fn heard(&mut self, last_heard: Duration) -> Vec<Change> {
        self.see(Observation::LinkHeard { name: peer(), incarnation: BOOT, last_heard })
    }

    fn state(&self) -> Option<MemberState> {
        self.overlay.get(&peer()).map(Member::state)
    }
}

fn change(incarnation: Incarnation, from: impl Into<Option<MemberState>>, to: MemberState) -> Vec<Change> {
    vec![Change { name: peer(), incarnation, from: from.into(), to }]
}

// How a member enters the list.

#[test]
fn a_member_known_by_link_only_is_alive() {
    let mut world = World::new();
    assert_eq!(world.see(link_up(BOOT)), change(BOOT, None, Alive));
    world.now += 20 * SECOND;
    assert_eq!(world.heard(world.now), vec![], "and stays so while gossip tells nothing");
    assert_eq!(world.state(), Some(Alive));
}

#[test]
fn a_member_that_gossip_hears_is_unreachable_until_its_link_is_up() {
    let mut world = World::new();
    assert_eq!(world.beat(), change(BOOT, None, Unreachable));
}

#[test]
fn a_member_that_gossip_repeats_but_does_not_hear_is_suspect() {
    let mut world = World::new();
    assert_eq!(world.lose(), change(BOOT, None, Suspect));
}

#[test]
fn gossip_that_has_not_heard_a_linked_member_yet_does_not_make_it_suspect() {
    let mut world = World::new();
    world.see(link_up(BOOT));
    world.now += 20 * SECOND;
    world.heard(world.now);
    assert_eq!(world.lose(), vec![]);
    assert_eq!(world.state(), Some(Alive));
}

// Every edge of the diagram.

#[test]
fn alive_becomes_unreachable_when_the_link_goes_down_and_gossip_hears_it() {
    let mut world = World::with_peer(Alive);
    assert_eq!(world.see(link_down()), change(BOOT, Alive, Unreachable));
}

#[test]
fn alive_becomes_suspect_when_the_link_goes_down_and_gossip_never_heard_it() {
    let mut world = World::new();
    world.see(link_up(BOOT));
    assert_eq!(world.see(link_down()), change(BOOT, Alive, Suspect));
}

#[test]
fn alive_becomes_suspect_when_the_link_is_idle_for_too_long() {
    let mut world = World::with_peer(Alive);
    assert_eq!(world.pass(limits::LINK_IDLE_SUSPECT), vec![]);
    assert_eq!(world.pass(Duration::from_millis(1)), change(BOOT, Alive, Suspect));
}

#[test]
fn alive_becomes_suspect_when_gossip_loses_it_over_a_link_that_is_not_fresh() {
    let mut world = World::with_peer(Alive);
    world.now += limits::LINK_IDLE_SUSPECT + SECOND;
    world.heard(world.now);
    assert_eq!(world.lose(), change(BOOT, Alive, Suspect));
}

#[test]
fn unreachable_becomes_alive_when_the_link_comes_up() {
    let mut world = World::with_peer(Unreachable);
    assert_eq!(world.see(link_up(BOOT)), change(BOOT, Unreachable, Alive));
}

#[test]
fn unreachable_becomes_suspect_when_gossip_loses_it() {
    let mut world = World::with_peer(Unreachable);
    assert_eq!(world.lose(), change(BOOT, Unreachable, Suspect));
}

#[test]
fn unreachable_becomes_suspect_when_heartbeats_stop_before_gossip_notices() {
    let mut world = World::with_peer(Unreachable);
    world.beat();
    assert_eq!(world.pass(limits::LINK_IDLE_SUSPECT), []);
    assert_eq!(world.pass(SECOND), change(BOOT, Unreachable, Suspect));
}

#[test]
fn suspect_becomes_alive_when_the_idle_link_is_heard_again() {
    let mut world = World::with_peer(Alive);
    world.pass(limits::LINK_IDLE_SUSPECT + SECOND);
    assert_eq!(world.heard(world.now), change(BOOT, Suspect, Alive));
}

#[test]
fn suspect_becomes_alive_when_a_link_comes_up() {
    let mut world = World::with_peer(Suspect);
    assert_eq!(world.see(link_up(BOOT)), change(BOOT, Suspect, Alive));
}

#[test]
fn suspect_becomes_unreachable_when_gossip_hears_it_again() {
    let mut world = World::with_peer(Suspect);
    assert_eq!(world.beat(), change(BOOT, Suspect, Unreachable));
}

#[test]
fn suspect_becomes_dead_when_it_was_silent_for_long_enough_and_a_dial_failed() {
    let mut world = World::with_peer(Suspect);
    world.see(dial_failed());
    assert_eq!(world.pass(limits::DEAD_AFTER - Duration::from_millis(1)), vec![]);
    assert_eq!(world.pass(Duration::from_millis(1)), change(BOOT, Suspect, Dead));
}

#[test]
fn dead_becomes_alive_when_a_link_comes_up() {
    let mut world = World::with_peer(Dead);
    assert_eq!(world.see(link_up(BOOT)), change(BOOT, Dead, Alive));
}

#[test]
fn dead_becomes_unreachable_when_gossip_hears_it_again() {
    let mut world = World::with_peer(Dead);
    assert_eq!(world.beat(), change(BOOT, Dead, Unreachable));
}

#[test]
fn dead_becomes_purged_after_a_while_and_is_no_longer_listed() {
    let mut world = World::with_peer(Dead);
    assert_eq!(world.pass(limits::PURGE_AFTER - SECOND), vec![]);
    assert_eq!(world.pass(SECOND), change(BOOT, Dead, Purged));
    assert_eq!(world.overlay.members().count(), 0);
    assert_eq!(world.overlay.highest_incarnation(&peer()), Some(BOOT));
}

#[test]
fn a_higher_incarnation_supersedes_a_member_in_any_state() {
    for state in [Alive, Unreachable, Suspect, Dead] {
        let mut world = World::with_peer(state);
        let by_link = [change(BOOT, state, Superseded), change(NEXT_BOOT, None, Alive)].concat();
        assert_eq!(world.see(link_up(NEXT_BOOT)), by_link);

        let mut world = World::with_peer(state);
        let by_gossip = [change(BOOT, state, Superseded), change(NEXT_BOOT, None, Suspect)].concat();
        assert_eq!(world.see(Observation::Gossip(view(NEXT_BOOT, false, 1))), by_gossip);
        assert_eq!(world.overlay.highest_incarnation(&peer()), Some(NEXT_BOOT));
    }
}

#[test]
fn a_member_in_any_state_that_says_left_is_left_once_its_section_is_empty() {
    for state in [Alive, Unreachable, Suspect, Dead] {
        let mut world = World::with_peer(state);
        let live = matches!(state, Alive | Unreachable);
        let advert = Some(advert(AdvertState::Left));
        let said = GossipView { advert, ..view(BOOT, live, world.heartbeat) };
        assert_eq!(world.see(Observation::Gossip(said)), vec![], "saying it is not enough");
        assert_eq!(world.see(section_empty(BOOT)), change(BOOT, state, Left));
        assert_eq!(world.state(), None);
    }
}

#[test]
fn a_goodbye_makes_a_member_in_any_state_left_at_once() {
    for state in [Alive, Unreachable, Suspect, Dead] {
        let mut world = World::with_peer(state);
        assert_eq!(world.see(goodbye(BOOT)), change(BOOT, state, Left));
        assert_eq!(world.state(), None);
    }
}

// What does not lead to an edge.

#[test]
fn the_same_old_live_of_gossip_does_not_acquit_a_member_whose_link_died_silently() {
    let mut world = World::with_peer(Alive);
    world.pass(limits::LINK_IDLE_SUSPECT + SECOND);
    assert_eq!(world.see(link_down()), vec![], "still suspect, though chitchat has not noticed");
    let lagging = Observation::Gossip(view(BOOT, true, world.heartbeat));
    assert_eq!(world.see(lagging.clone()), vec![]);
    world.see(dial_failed());
    assert_eq!(world.pass(limits::DEAD_AFTER), change(BOOT, Suspect, Dead));
    assert_eq!(world.see(lagging), vec![], "nor does it revive the dead");
}

#[test]
fn a_member_whose_link_died_is_unreachable_when_heartbeats_still_come_another_way() {
    let mut world = World::with_peer(Alive);
    world.pass(limits::LINK_IDLE_SUSPECT + SECOND);
    assert_eq!(world.beat(), vec![], "the idle link is still up");
    assert_eq!(world.see(link_down()), change(BOOT, Suspect, Unreachable));
}

#[test]
fn a_heartbeat_long_before_the_link_went_down_does_not_acquit() {
    let mut world = World::with_peer(Alive);
    world.pass(limits::LINK_IDLE_SUSPECT + SECOND);
    world.beat();
    world.pass(limits::LINK_IDLE_SUSPECT + SECOND);
    assert_eq!(world.see(link_down()), vec![]);
}

#[test]
fn a_late_heartbeat_just_before_the_suspicion_does_not_acquit() {
    let mut world = World::with_peer(Alive);
    world.pass(limits::LINK_IDLE_SUSPECT);
    world.beat();
    assert_eq!(world.pass(SECOND), change(BOOT, Alive, Suspect));
    assert_eq!(world.see(link_down()), vec![]);
}

#[test]
fn a_suspect_is_not_dead_before_a_dial_failed() {
    let mut world = World::with_peer(Suspect);
    assert_eq!(world.pass(10 * limits::DEAD_AFTER), vec![]);
    assert_eq!(world.see(dial_failed()), change(BOOT, Suspect, Dead));
}

#[test]
fn a_dial_that_failed_before_the_suspicion_does_not_count() {
    let mut world = World::with_peer(Unreachable);
    world.see(dial_failed());
    world.lose();
    assert_eq!(world.pass(10 * limits::DEAD_AFTER), vec![]);
}

#[test]
fn a_dial_that_fails_beside_a_silent_link_counts_and_beside_one_that_is_heard_it_does_not() {
    let mut world = World::with_peer(Alive);
    world.pass(limits::LINK_IDLE_SUSPECT + SECOND);
    world.see(dial_failed());
    assert_eq!(world.pass(limits::DEAD_AFTER), change(BOOT, Suspect, Dead));

    let mut world = World::with_peer(Alive);
    world.now += limits::LINK_IDLE_SUSPECT + SECOND;
    world.heard(world.now);
    world.lose();
    world.see(dial_failed());
    world.now += SECOND;
    world.heard(world.now);
    assert_eq!(world.pass(10 * limits::DEAD_AFTER), vec![], "it was heard after the dial");
}

#[test]
fn a_packet_during_a_suspicion_starts_the_whole_way_over() {
    let mut world = World::with_peer(Alive);
    world.now += limits::LINK_IDLE_SUSPECT + SECOND;
    world.heard(world.now);
    assert_eq!(world.lose(), change(BOOT, Alive, Suspect), "gossip lost it, the link is heard");
    world.pass(2 * SECOND);
    world.heard(world.now);
    world.see(dial_failed());
    assert_eq!(world.pass(limits::LINK_IDLE_SUSPECT + limits::DEAD_AFTER - SECOND), vec![]);
    assert_eq!(world.pass(SECOND), change(BOOT, Suspect, Dead));
}

#[test]
fn the_clock_of_a_silent_link_starts_at_its_last_packet_and_not_when_that_is_noticed() {
    let mut world = World::with_peer(Alive);
    let last = world.now;
    assert_eq!(world.pass(limits::LINK_IDLE_SUSPECT + SECOND / 2), change(BOOT, Alive, Suspect));
    world.see(dial_failed());
    world.now = last + limits::LINK_IDLE_SUSPECT + limits::DEAD_AFTER - Duration::from_millis(1);
    assert_eq!(world.overlay.tick(world.now), vec![]);
    assert_eq!(world.pass(Duration::from_millis(1)), change(BOOT, Suspect, Dead));
}

#[test]
fn a_node_that_was_stopped_itself_listens_before_it_buries() {
    let mut world = World::with_peer(Alive);
    assert_eq!(world.pass(100 * limits::DEAD_AFTER), change(BOOT, Alive, Suspect));
    world.see(dial_failed());
    assert_eq!(world.pass(limits::SUSPICION_MIN - Duration::from_millis(1)), vec![]);
    assert_eq!(world.pass(Duration::from_millis(1)), change(BOOT, Suspect, Dead));
}

#[test]
fn a_heartbeat_just_before_a_suspicion_keeps_death_away_for_dead_after() {
    let mut world = World::with_peer(Alive);
    world.now += limits::LINK_IDLE_SUSPECT + 2 * limits::DEAD_AFTER;
    assert_eq!(world.beat(), change(BOOT, Alive, Suspect), "its link was silent for long");
    world.see(dial_failed());
    assert_eq!(world.pass(limits::DEAD_AFTER - Duration::from_millis(1)), vec![]);
    assert_eq!(world.pass(Duration::from_millis(1)), change(BOOT, Suspect, Dead));
}

#[test]
fn members_that_are_not_heard_are_those_that_a_dial_may_help() {
    for (state, unheard) in [(Alive, 0), (Unreachable, 1), (Suspect, 1), (Dead, 1)] {
        assert_eq!(World::with_peer(state).overlay.unheard().count(), unheard, "{state:?}");
    }
    let mut world = World::with_peer(Alive);
    world.pass(limits::LINK_IDLE_SUSPECT + SECOND);
    assert_eq!(world.overlay.unheard().count(), 1, "its link is silent");
    world.heard(world.now);
    assert_eq!(world.overlay.unheard().count(), 0);
}

#[test]
fn not_being_alive_begins_once_and_ends_with_being_alive() {
    let mut world = World::with_peer(Alive);
    let not_alive_since = |world: &World| world.overlay.get(&peer()).unwrap().not_alive_since();
    assert_eq!(not_alive_since(&world), None);
    world.now += SECOND;
    let lost_at = world.now;
    assert_eq!(world.see(link_down()), change(BOOT, Alive, Unreachable));
    world.now += SECOND;
    assert_eq!(world.lose(), change(BOOT, Unreachable, Suspect));
    world.see(dial_failed());
    assert_eq!(world.pass(limits::DEAD_AFTER), change(BOOT, Suspect, Dead));
    assert_eq!(not_alive_since(&world), Some(lost_at));
    world.see(link_up(BOOT));
    assert_eq!(not_alive_since(&world), None);
}

#[test]
fn a_heartbeat_during_a_suspicion_starts_the_way_to_dead_over() {
    let mut world = World::with_peer(Suspect);
    world.see(dial_failed());
    world.pass(limits::DEAD_AFTER - SECOND);
    world.heartbeat += 1;
    assert_eq!(world.lose(), vec![], "one heartbeat alone does not acquit");
    assert_eq!(world.pass(10 * limits::DEAD_AFTER), vec![], "the failed dial was before it");
    world.heartbeat += 1;
    world.lose();
    world.see(dial_failed());
    assert_eq!(world.pass(limits::DEAD_AFTER - SECOND), vec![]);
    assert_eq!(world.pass(SECOND), change(BOOT, Suspect, Dead));
}

#[test]
fn a_heartbeat_of_a_dead_member_that_gossip_does_not_call_live_changes_nothing() {
    let mut world = World::with_peer(Dead);
    world.heartbeat += 1;
    assert_eq!(world.lose(), vec![]);
}

#[test]
fn a_fresh_link_outweighs_gossip_only_for_a_while() {
    let mut world = World::with_peer(Dead);
    world.see(link_up(BOOT));
    assert_eq!(world.lose(), vec![], "chitchat needs a second to agree");
    world.now += limits::LINK_IDLE_SUSPECT + SECOND;
    assert_eq!(world.heard(world.now), change(BOOT, Alive, Suspect));
    assert_eq!(world.beat(), change(BOOT, Suspect, Alive));
}

#[test]
fn an_empty_section_means_nothing_before_the_member_says_left() {
    let mut world = World::with_peer(Alive);
    assert_eq!(world.see(section_empty(BOOT)), vec![]);
    world.see(says(BOOT, AdvertState::Draining));
    assert_eq!(world.see(section_empty(BOOT)), vec![]);
    assert_eq!(world.see(says(BOOT, AdvertState::Left)), vec![], "what was empty before does not count");
}

#[test]
fn a_report_about_a_link_that_is_gone_changes_nothing() {
    let mut world = World::with_peer(Unreachable);
    assert_eq!(world.heard(world.now), vec![]);
    assert_eq!(world.see(link_down()), vec![]);
}

#[test]
fn a_link_heard_in_the_future_counts_as_heard_now() {
    let mut world = World::with_peer(Alive);
    world.heard(world.now + 1_000 * SECOND);
    assert_eq!(world.pass(limits::LINK_IDLE_SUSPECT + SECOND), change(BOOT, Alive, Suspect));
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let mut world = World::with_peer(Suspect);
    world.see(dial_failed());
    let before = world.now;
    assert_eq!(world.overlay.tick(Duration::ZERO), vec![]);
    assert_eq!(world.overlay.observe(link_up(BOOT), Duration::ZERO), change(BOOT, Suspect, Alive));
    assert_eq!(world.overlay.get(&peer()).unwrap().since(), before);
}

// Incarnations and fences.

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
