//! What is evidence that a member lives, and what is none.

use super::*;

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
