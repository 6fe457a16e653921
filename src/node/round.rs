//! One round of judging the members: what gossip and the links show now, then what time alone changes. Pure.
//!
//! [`liveness`](crate::node::liveness) runs it in a node, and the fast level of the simulation runs it in its clusters.

use std::net::SocketAddr;
use std::time::Duration;

use crate::id::{Incarnation, NodeName};
use crate::membership::member::{AdvertState, GossipView};
use crate::membership::overlay::{Change, Member, Observation, Overlay};

/// A link in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInUse {
    /// The peer.
    pub name: NodeName,
    /// Its boot.
    pub incarnation: Incarnation,
    /// Where it is dialled.
    pub addr: SocketAddr,
    /// When it was last heard, since this node started. `None`: the same as in the last round.
    pub last_heard: Option<Duration>,
}

/// Judges all members at `now`. `is_empty` says whether nothing is held of a member any more.
pub fn judge(
    overlay: &mut Overlay,
    gossip: impl IntoIterator<Item = GossipView>,
    links: &[LinkInUse],
    is_empty: impl Fn(&NodeName) -> bool,
    now: Duration,
) -> Vec<Change> {
    let heard = links.iter().filter_map(|link| {
        let (name, incarnation) = (link.name.clone(), link.incarnation);
        Some(Observation::LinkHeard { name, incarnation, last_heard: link.last_heard? })
    });
    let observations = gossip.into_iter().map(Observation::Gossip).chain(missed(overlay, links)).chain(heard);
    let observations: Vec<_> = observations.collect();
    let mut changes = Vec::new();
    let mut observe = |overlay: &mut Overlay, observations: Vec<Observation>| {
        observations.into_iter().for_each(|seen| changes.extend(overlay.observe(seen, now)));
    };
    observe(overlay, observations);
    let empty = left_and_empty(overlay, is_empty);
    observe(overlay, empty);
    changes.extend(overlay.tick(now));
    changes
}

/// Where the overlay and the links in use differ. Reports of links that come and go travel on
/// several tasks, so that the end of an old one may be told after the beginning of a new one; the
/// links themselves are what is true.
fn missed(overlay: &Overlay, links: &[LinkInUse]) -> Vec<Observation> {
    let differs = |member: &Member| {
        let (name, incarnation) = (member.name().clone(), member.incarnation());
        let link = links.iter().find(|link| link.name == name && link.incarnation == incarnation);
        match (link, member.is_linked()) {
            (Some(link), false) => Some(Observation::LinkUp { name, incarnation, addr: link.addr }),
            (None, true) => Some(Observation::LinkDown { name, incarnation }),
            _ => None,
        }
    };
    overlay.members().filter_map(differs).collect()
}

/// Members that said `left` and whose claims are all gone.
fn left_and_empty(overlay: &Overlay, is_empty: impl Fn(&NodeName) -> bool) -> Vec<Observation> {
    let has_left = |member: &&Member| member.advert().is_some_and(|advert| advert.state == AdvertState::Left);
    let gone = overlay.members().filter(has_left).filter(|member| is_empty(member.name()));
    gone.map(|member| Observation::SectionEmpty {
        name: member.name().clone(),
        incarnation: member.incarnation(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::member::MemberState;
    use crate::membership::overlay::OverlayTimers;

    fn peer() -> LinkInUse {
        let (name, addr) = (NodeName::new("peer").unwrap(), "127.0.0.1:7400".parse().unwrap());
        LinkInUse { name, incarnation: Incarnation(1), addr, last_heard: Some(Duration::ZERO) }
    }

    fn up() -> Observation {
        let LinkInUse { name, incarnation, addr, .. } = peer();
        Observation::LinkUp { name, incarnation, addr }
    }

    fn down() -> Observation {
        let LinkInUse { name, incarnation, .. } = peer();
        Observation::LinkDown { name, incarnation }
    }

    fn after(reports: impl IntoIterator<Item = Observation>) -> Overlay {
        let me = NodeName::new("me").unwrap();
        let mut overlay = Overlay::new(me, Incarnation(1), OverlayTimers::default());
        for report in reports {
            overlay.observe(report, Duration::ZERO);
        }
        overlay
    }

    fn judged(overlay: &mut Overlay, links: &[LinkInUse]) -> MemberState {
        judge(overlay, [], links, |_| false, Duration::ZERO);
        overlay.get(&peer().name).unwrap().state()
    }

    #[test]
    fn the_end_of_an_old_link_that_is_told_late_does_not_hide_the_new_one() {
        let mut overlay = after([up(), up(), down()]);
        assert_ne!(overlay.get(&peer().name).unwrap().state(), MemberState::Alive, "so it was told");
        assert_eq!(judged(&mut overlay, &[peer()]), MemberState::Alive);
        assert_eq!(missed(&overlay, &[peer()]), []);
    }

    #[test]
    fn the_beginning_of_a_link_that_is_told_after_its_end_is_taken_back() {
        let mut overlay = after([up()]);
        assert_eq!(missed(&overlay, &[]), [down()]);
        assert_ne!(judged(&mut overlay, &[]), MemberState::Alive);
    }

    #[test]
    fn a_link_to_another_boot_is_none_to_this_one() {
        let overlay = after([up()]);
        let other = LinkInUse { incarnation: Incarnation(2), ..peer() };
        assert_eq!(missed(&overlay, &[other]), [down()]);
    }
}
