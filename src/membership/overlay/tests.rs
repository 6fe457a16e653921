//! The table of the overlay, edge by edge, then incarnations, bounds and the ring.

use super::*;
use crate::membership::member::{Advert, AdvertState};
use MemberState::{Alive, Dead, Left, Purged, Superseded, Suspect, Unreachable};

mod boots;
mod bounds;
mod cluster;
mod evidence;
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
        keeps: true,
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
