//! Laws that hold for any history of observations.

use proptest::prelude::*;

use super::*;

/// When each boot was last heard of, kept apart from the code that it judges.
#[derive(Default)]
struct Signs(BTreeMap<(NodeName, Incarnation), Sign>);

#[derive(Default)]
struct Sign {
    heartbeat: u64,
    /// When a heartbeat rose.
    beat_at: Option<Duration>,
    /// The last packet of a link, while it is up.
    linked: Option<Duration>,
}

impl Signs {
    fn note(&mut self, observation: &Observation, now: Duration) {
        match observation {
            Observation::Gossip(view) => {
                let sign = self.0.entry((view.name.clone(), view.incarnation)).or_default();
                if view.heartbeat > sign.heartbeat {
                    (sign.heartbeat, sign.beat_at) = (view.heartbeat, Some(now));
                }
            }
            Observation::LinkUp { name, incarnation, .. } => {
                self.0.entry((name.clone(), *incarnation)).or_default().linked = Some(now);
            }
            Observation::LinkHeard { name, incarnation, last_heard } => {
                let sign = self.0.entry((name.clone(), *incarnation)).or_default();
                sign.linked = sign.linked.map(|at| at.max((*last_heard).min(now)));
            }
            Observation::LinkDown { name, incarnation } => {
                self.0.entry((name.clone(), *incarnation)).or_default().linked = None;
            }
            _ => {}
        }
    }

    /// The law: who dies was silent for long enough, in every way.
    fn judge(&self, change: &Change, timers: &OverlayTimers, now: Duration) {
        if change.to != Dead {
            return;
        }
        let Some(sign) = self.0.get(&(change.name.clone(), change.incarnation)) else { return };
        let beaten = sign.beat_at.map(|at| at + timers.dead_after);
        let heard = sign.linked.map(|at| at + timers.idle_suspect + timers.dead_after);
        assert!(beaten.is_none_or(|end| end <= now), "dead too soon after a heartbeat: {change:?}");
        assert!(heard.is_none_or(|end| end <= now), "dead too soon after a packet: {change:?}");
    }
}

/// One step of a random history: who, which boot, what, and how much time passes before.
fn step() -> impl Strategy<Value = (Observation, Duration)> {
    let who = prop::sample::select(vec!["me", "a", "b"]).prop_map(name);
    let boot = (9_u64..13).prop_map(Incarnation);
    let what = (0..8_u8, any::<bool>(), 0..6_u64, 0..12_000_u64, 0..4_u8);
    (who, boot, what, 0..2_500_u64).prop_map(
        |(name, incarnation, (kind, live, heartbeat, at, said), pause)| {
            let advert = match said {
                0 => None,
                1 => Some(advert(AdvertState::Left)),
                _ => Some(advert(AdvertState::Ready)),
            };
            let addr = addr(1);
            let observation = match kind {
                0 | 1 => Observation::Gossip(GossipView { name, incarnation, addr, live, heartbeat, advert }),
                2 => Observation::LinkUp { name, incarnation, addr },
                3 => Observation::LinkHeard { name, incarnation, last_heard: Duration::from_millis(at) },
                4 => Observation::LinkDown { name, incarnation },
                5 => Observation::DialFailed { name },
                6 if live => Observation::Goodbye { name, incarnation },
                _ => Observation::SectionEmpty { name, incarnation },
            };
            (observation, Duration::from_millis(pause))
        },
    )
}

/// The table once more, written apart from the code that it judges.
fn is_edge(from: Option<MemberState>, to: MemberState) -> bool {
    match from {
        None => matches!(to, Alive | Unreachable | Suspect),
        Some(Alive) => matches!(to, Unreachable | Suspect | Superseded | Left),
        Some(Unreachable) => matches!(to, Alive | Suspect | Superseded | Left),
        Some(Suspect) => matches!(to, Alive | Unreachable | Dead | Superseded | Left),
        Some(Dead) => matches!(to, Alive | Unreachable | Purged | Superseded | Left),
        Some(Purged | Superseded | Left) => false,
    }
}

/// What the changes so far add up to.
#[derive(Default)]
struct Ledger {
    states: BTreeMap<NodeName, (Incarnation, MemberState)>,
    highest: BTreeMap<NodeName, Incarnation>,
    left: Vec<(NodeName, Incarnation)>,
}

impl Ledger {
    fn enter(&mut self, change: Change) {
        let Change { name, incarnation, from, to } = change;
        assert!(is_edge(from, to), "{from:?} to {to:?} is no edge");
        assert!(!self.left.contains(&(name.clone(), incarnation)), "what left stays away");
        let before = self.states.get(&name).copied();
        assert_eq!(from.map(|from| (incarnation, from)), before, "the chain of {name} is broken");
        let highest = self.highest.entry(name.clone()).or_default();
        assert!(incarnation >= *highest, "{name} went back to {incarnation}");
        *highest = incarnation;
        if to == Left {
            self.left.push((name.clone(), incarnation));
        }
        if to.is_final() {
            self.states.remove(&name);
        } else {
            self.states.insert(name, (incarnation, to));
        }
    }
}

proptest! {
    #[test]
    fn changes_follow_the_table_chain_up_and_never_go_back_to_an_earlier_boot(
        steps in prop::collection::vec(step(), 0..200)
    ) {
        let timers = OverlayTimers { purge_after: 5 * SECOND, ..OverlayTimers::default() };
        let mut overlay = Overlay::new(name("me"), BOOT, timers);
        let (mut ledger, mut now) = (Ledger::default(), SECOND);
        for (observation, pause) in steps {
            now += pause;
            overlay.tick(now).into_iter().for_each(|change| ledger.enter(change));
            overlay.observe(observation, now).into_iter().for_each(|change| ledger.enter(change));
            prop_assert_eq!(overlay.tick(now), vec![], "an observation leaves nothing to do");
            let listed: BTreeMap<_, _> = (overlay.members())
                .map(|member| (member.name().clone(), (member.incarnation(), member.state())))
                .collect();
            prop_assert_eq!(&listed, &ledger.states, "the changes tell the whole story");
            for (name, highest) in &ledger.highest {
                prop_assert_eq!(overlay.highest_incarnation(name), Some(*highest));
            }
            prop_assert!(overlay.get(&name("me")).is_none());
        }
    }
}

proptest! {
    #[test]
    fn nobody_is_dead_before_a_silence_of_dead_after_since_its_last_heartbeat_and_packet(
        steps in prop::collection::vec(step(), 0..300)
    ) {
        let timers = OverlayTimers::default();
        let mut overlay = Overlay::new(name("me"), BOOT, timers);
        let (mut signs, mut now) = (Signs::default(), SECOND);
        for (observation, pause) in steps {
            now += pause;
            overlay.tick(now).iter().for_each(|change| signs.judge(change, &timers, now));
            signs.note(&observation, now);
            overlay.observe(observation, now).iter().for_each(|change| signs.judge(change, &timers, now));
        }
    }
}
