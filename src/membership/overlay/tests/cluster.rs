//! Several peers: self-doubt and isolation.

use super::*;

/// This node and some peers, all of them linked.
struct Peers {
    overlay: Overlay,
    names: Vec<NodeName>,
    now: Duration,
}

impl Peers {
    fn linked(count: usize) -> Self {
        let names = (0..count).map(|number| name(&format!("n{number}"))).collect();
        let overlay = Overlay::new(name("me"), BOOT, OverlayTimers::default());
        let mut peers = Self { overlay, names, now: SECOND };
        for peer in 0..count {
            peers.up(peer);
        }
        peers
    }

    fn up(&mut self, peer: usize) -> Vec<Change> {
        let name = self.names[peer].clone();
        self.overlay.observe(Observation::LinkUp { name, incarnation: BOOT, addr: addr(1) }, self.now)
    }

    fn down(&mut self, peer: usize) -> Vec<Change> {
        let name = self.names[peer].clone();
        self.overlay.observe(Observation::LinkDown { name, incarnation: BOOT }, self.now)
    }

    fn dial_fails(&mut self, peer: usize) -> Vec<Change> {
        let name = self.names[peer].clone();
        self.overlay.observe(Observation::DialFailed { name }, self.now)
    }

    /// Time passes in which these peers alone are heard.
    fn pass(&mut self, time: Duration, heard: &[usize]) -> Vec<Change> {
        self.now += time;
        for peer in heard {
            let name = self.names[*peer].clone();
            let heard = Observation::LinkHeard { name, incarnation: BOOT, last_heard: self.now };
            self.overlay.observe(heard, self.now);
        }
        self.overlay.tick(self.now)
    }

    fn states(&self) -> Vec<Option<MemberState>> {
        self.names.iter().map(|name| self.overlay.get(name).map(Member::state)).collect()
    }
}

#[test]
fn the_death_of_one_peer_raises_no_doubt_in_a_cluster_of_any_size() {
    for count in 1..6 {
        let mut peers = Peers::linked(count);
        let others: Vec<usize> = (1..count).collect();
        peers.pass(limits::LINK_IDLE_SUSPECT + SECOND, &others);
        assert_eq!(peers.states()[0], Some(Suspect));
        assert!(!peers.overlay.degraded(), "with {count} peers");
        peers.dial_fails(0);
        peers.pass(limits::DEAD_AFTER, &others);
        assert_eq!(peers.states()[0], Some(Dead), "with {count} peers");
    }
}

#[test]
fn when_most_peers_fall_silent_together_the_way_to_dead_is_three_times_as_long() {
    let mut peers = Peers::linked(2);
    let last_packet = peers.now;
    peers.pass(limits::LINK_IDLE_SUSPECT + SECOND, &[]);
    assert!(peers.overlay.degraded());
    peers.dial_fails(0);
    peers.dial_fails(1);
    let dead_at = last_packet + limits::LINK_IDLE_SUSPECT + 3 * limits::DEAD_AFTER;
    let almost = dead_at - peers.now - Duration::from_millis(1);
    assert_eq!(peers.pass(almost, &[]), vec![]);
    assert_eq!(peers.pass(Duration::from_millis(1), &[]).len(), 2);
    assert_eq!(peers.states(), [Some(Dead), Some(Dead)]);
    assert!(!peers.overlay.degraded(), "nobody is left to be decided");
}

#[test]
fn half_of_the_peers_falling_silent_together_raises_no_doubt() {
    let mut peers = Peers::linked(4);
    peers.pass(limits::LINK_IDLE_SUSPECT + SECOND, &[0, 1]);
    assert_eq!(peers.states(), [Some(Alive), Some(Alive), Some(Suspect), Some(Suspect)]);
    assert!(!peers.overlay.degraded());
}

#[test]
fn peers_that_fall_silent_one_after_the_other_raise_no_doubt() {
    let mut peers = Peers::linked(3);
    for peer in 0..3 {
        peers.down(peer);
        peers.pass(limits::SELF_DOUBT_WINDOW + SECOND, &[2]);
        assert!(!peers.overlay.degraded(), "after peer {peer}");
    }
    assert_eq!(peers.states(), [Some(Suspect); 3]);
}

#[test]
fn a_doubt_ends_when_half_of_the_peers_are_back_and_the_others_start_their_way_over() {
    let mut peers = Peers::linked(2);
    peers.pass(limits::LINK_IDLE_SUSPECT + SECOND, &[]);
    peers.dial_fails(0);
    peers.dial_fails(1);
    // Longer than it takes without a doubt.
    assert_eq!(peers.pass(2 * limits::DEAD_AFTER, &[]), vec![]);
    assert_eq!(peers.up(0).len(), 1);
    assert!(!peers.overlay.degraded());
    assert_eq!(peers.pass(SECOND, &[0]), vec![], "who came back does not condemn the other");
    peers.dial_fails(1);
    assert_eq!(peers.pass(limits::DEAD_AFTER - 2 * SECOND, &[0]), vec![]);
    peers.pass(SECOND, &[0]);
    assert_eq!(peers.states(), [Some(Alive), Some(Dead)]);
}

#[test]
fn a_doubt_that_ends_does_not_condemn_a_suspect_that_was_never_heard() {
    let mut peers = Peers::linked(2);
    let old = name("old");
    let told = GossipView { name: old.clone(), ..view(BOOT, false, 1) };
    peers.pass(limits::LINK_IDLE_SUSPECT + SECOND, &[]);
    peers.overlay.observe(Observation::Gossip(told), peers.now);
    peers.overlay.observe(Observation::DialFailed { name: old.clone() }, peers.now);
    peers.pass(2 * limits::DEAD_AFTER, &[]);
    peers.up(0);
    assert!(!peers.overlay.degraded());
    assert_eq!(peers.pass(Duration::ZERO, &[0]), vec![]);
    assert_eq!(peers.overlay.get(&old).map(Member::state), Some(Suspect));
}

#[test]
fn a_doubt_goes_on_while_fewer_than_half_of_the_peers_are_back() {
    let mut peers = Peers::linked(5);
    peers.pass(limits::LINK_IDLE_SUSPECT + SECOND, &[]);
    for back in 0..2 {
        peers.up(back);
        assert!(peers.overlay.degraded(), "{back}");
    }
    peers.up(2);
    assert!(!peers.overlay.degraded());
}

#[test]
fn members_that_were_never_heard_raise_no_doubt() {
    let mut peers = Peers::linked(1);
    for number in 0..4 {
        let told = GossipView { name: name(&format!("old{number}")), ..view(BOOT, false, 1) };
        peers.overlay.observe(Observation::Gossip(told), peers.now);
    }
    assert_eq!(peers.overlay.members().count(), 5);
    peers.pass(SECOND, &[0]);
    assert!(!peers.overlay.degraded());
}

#[test]
fn peers_that_leave_together_raise_no_doubt() {
    let mut peers = Peers::linked(3);
    for peer in 0..3 {
        let name = peers.names[peer].clone();
        peers.overlay.observe(Observation::Goodbye { name, incarnation: BOOT }, peers.now);
    }
    peers.pass(SECOND, &[]);
    assert!(!peers.overlay.degraded());
}

#[test]
fn a_node_is_isolated_when_at_least_two_peers_are_listed_and_none_is_heard() {
    let mut peers = Peers::linked(2);
    assert!(!peers.overlay.isolated());
    peers.down(0);
    assert!(!peers.overlay.isolated(), "one is alive");
    peers.down(1);
    assert!(peers.overlay.isolated(), "both are suspect");
    peers.dial_fails(0);
    peers.dial_fails(1);
    peers.pass(3 * limits::DEAD_AFTER, &[]);
    assert_eq!(peers.states(), [Some(Dead), Some(Dead)]);
    assert!(peers.overlay.isolated(), "both are dead");
    let heard = GossipView { name: peers.names[0].clone(), ..view(BOOT, true, 9) };
    peers.overlay.observe(Observation::Gossip(heard), peers.now);
    assert_eq!(peers.states()[0], Some(Unreachable));
    assert!(!peers.overlay.isolated(), "one is heard by gossip");
}

#[test]
fn a_node_that_hides_a_peer_and_hears_nobody_is_deaf_before_the_others_are_suspect() {
    let tick = limits::OVERLAY_TICK;
    let mut peers = Peers::linked(2);
    peers.pass(limits::LINK_FRESH + tick, &[]);
    assert!(!peers.overlay.is_deaf(), "nobody is hidden");
    peers.down(0);
    peers.dial_fails(0);
    peers.pass(limits::DEAD_AFTER, &[1]);
    assert_eq!(peers.states(), [Some(Dead), Some(Alive)]);
    assert!(!peers.overlay.is_deaf(), "one is heard");
    peers.pass(limits::LINK_FRESH, &[]);
    assert!(!peers.overlay.is_deaf());
    peers.pass(tick, &[]);
    assert_eq!(peers.states(), [Some(Dead), Some(Alive)]);
    assert!(peers.overlay.is_deaf() && !peers.overlay.isolated(), "it is, and does not know it yet");
    peers.pass(tick, &[1]);
    assert!(!peers.overlay.is_deaf());
    peers.pass(limits::PURGE_AFTER, &[1]);
    assert_eq!(peers.states(), [None, Some(Alive)]);
    peers.pass(limits::LINK_FRESH + tick, &[]);
    assert!(peers.overlay.is_deaf(), "who was purged may be well, too");
}

#[test]
fn a_node_with_one_hidden_peer_is_not_deaf() {
    let mut peers = Peers::linked(1);
    peers.down(0);
    peers.dial_fails(0);
    peers.pass(limits::DEAD_AFTER, &[]);
    assert_eq!(peers.states(), [Some(Dead)]);
    assert!(!peers.overlay.is_deaf(), "either of the two may be the sick one");
}

#[test]
fn a_node_stays_isolated_although_its_peers_were_purged_meanwhile() {
    let mut peers = Peers::linked(2);
    for peer in 0..2 {
        peers.down(peer);
        peers.dial_fails(peer);
    }
    peers.pass(3 * limits::DEAD_AFTER, &[]);
    peers.pass(limits::PURGE_AFTER, &[]);
    assert_eq!(peers.states(), [None, None]);
    assert!(peers.overlay.isolated(), "they may live beyond the partition");
}

/// Two peers that are dead.
fn two_dead() -> Peers {
    let mut peers = Peers::linked(2);
    for peer in 0..2 {
        peers.down(peer);
        peers.dial_fails(peer);
    }
    peers.pass(3 * limits::DEAD_AFTER, &[]);
    assert_eq!(peers.states(), [Some(Dead), Some(Dead)]);
    peers
}

#[test]
fn who_is_forgotten_is_as_good_as_purged_and_isolates_nobody() {
    let mut peers = two_dead();
    let (incarnation, changes) = peers.overlay.forget(&name("n0"), peers.now).unwrap();
    assert_eq!(incarnation, BOOT);
    assert!(matches!(&changes[..], [Change { from: Some(Dead), to: Purged, .. }]), "{changes:?}");
    assert_eq!(peers.states(), [None, Some(Dead)]);
    assert!(!peers.overlay.isolated(), "one peer is left");
    // Also one that was purged long ago.
    peers.pass(limits::PURGE_AFTER, &[]);
    assert_eq!(peers.overlay.forget(&name("n1"), peers.now), Ok((BOOT, Vec::new())));
    for again in ["n0", "n1", "stranger"] {
        assert_eq!(peers.overlay.forget(&name(again), peers.now), Err(ForgetError::Unknown), "{again}");
    }
    let mut others = Peers::linked(2);
    others.overlay.observe(Observation::Goodbye { name: name("n0"), incarnation: BOOT }, others.now);
    assert_eq!(others.overlay.forget(&name("n0"), others.now), Err(ForgetError::Unknown), "it has left");
}

#[test]
fn a_survivor_that_forgets_all_the_dead_is_not_isolated_although_they_were_purged() {
    let mut peers = two_dead();
    peers.pass(limits::PURGE_AFTER, &[]);
    assert!(peers.overlay.isolated());
    for peer in ["n0", "n1"] {
        peers.overlay.forget(&name(peer), peers.now).unwrap();
    }
    assert!(!peers.overlay.isolated());
}

#[test]
fn only_the_dead_are_forgotten() {
    let mut peers = Peers::linked(3);
    peers.down(1);
    let heard = GossipView { name: name("n2"), ..view(BOOT, true, 9) };
    peers.overlay.observe(Observation::Gossip(heard), peers.now);
    peers.down(2);
    let states = [Alive, Suspect, Unreachable];
    assert_eq!(peers.states(), states.map(Some));
    for (peer, state) in peers.names.clone().iter().zip(states) {
        assert_eq!(peers.overlay.forget(peer, peers.now), Err(ForgetError::NotDead { state }));
    }
    assert_eq!(peers.overlay.forget(&name("me"), peers.now), Err(ForgetError::Myself));
    assert_eq!(peers.states(), states.map(Some), "nothing has changed");
}

#[test]
fn who_is_forgotten_comes_back_with_a_link_or_as_a_later_boot_and_not_by_hearsay() {
    let mut peers = two_dead();
    peers.overlay.forget(&name("n0"), peers.now).unwrap();
    // chitchat calls a member live for seconds after its death.
    for live in [false, true] {
        let heard = GossipView { name: name("n0"), ..view(BOOT, live, 9) };
        assert_eq!(peers.overlay.observe(Observation::Gossip(heard), peers.now), [], "live: {live}");
    }
    assert_eq!(peers.overlay.superseding(&name("n0"), BOOT), None, "it is not told to stop");
    peers.up(0);
    assert_eq!(peers.states()[0], Some(Alive), "it lives after all");

    peers.overlay.forget(&name("n1"), peers.now).unwrap();
    let later = GossipView { name: name("n1"), ..view(Incarnation(BOOT.0 + 1), true, 1) };
    peers.overlay.observe(Observation::Gossip(later), peers.now);
    assert_eq!(peers.states()[1], Some(Unreachable), "a later boot");
}

#[test]
fn a_node_with_one_peer_or_none_is_never_isolated() {
    for count in 0..2 {
        let mut peers = Peers::linked(count);
        peers.pass(limits::LINK_IDLE_SUSPECT + SECOND, &[]);
        assert!(!peers.overlay.isolated(), "with {count} peers");
    }
}

#[test]
fn members_that_are_no_longer_listed_do_not_isolate() {
    let mut peers = Peers::linked(2);
    peers.down(0);
    peers.down(1);
    let name = peers.names[0].clone();
    peers.overlay.observe(Observation::Goodbye { name, incarnation: BOOT }, peers.now);
    assert!(!peers.overlay.isolated(), "one peer is left");
}
