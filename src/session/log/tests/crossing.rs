//! The law of what is handed over: owners that hand over late, in parts, again, and not in the order of their claims.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const OWNERS: u64 = 4;

/// One step of what goes on between owners.
#[derive(Debug, Clone)]
enum Step {
    /// A message is accepted by the owner of that claim.
    Accept(usize),
    /// The client was at the owner of that claim, and has acknowledged what that one has. It has forgotten it since.
    Acknowledge(usize),
    /// A former owner hands over to a later one, up to so many parts; the receipt may be lost.
    HandOver { from: usize, to: usize, parts: usize, receipt: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let owner = 0..OWNERS as usize;
    let next = prop_oneof![owner.clone(), Just(OWNERS as usize)];
    prop_oneof![
        2 => owner.clone().prop_map(Step::Accept),
        2 => owner.clone().prop_map(Step::Acknowledge),
        3 => (owner, next, 1_usize..5, any::<bool>())
            .prop_map(|(from, to, parts, receipt)| Step::HandOver { from, to, parts, receipt }),
    ]
}

proptest! {
    // What it looks for takes five steps in their order.
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_comes_after_a_client_was_told_that_it_has_all(steps in prop::collection::vec((step(), prop::bool::weighted(0.2)), 1..40), named in 0_u64..16) {
        let (store, now) = (store(StoreBounds { messages_max: 99, bytes_max: 1 << 10, node_bytes_max: 1 << 20 }), Instant::now());
        let mut owners: Vec<_> = (1..=OWNERS).map(|stamp| Some(log(stamp, &store))).collect();
        let after: Vec<_> = (1..=OWNERS).filter(|stamp| named & 1 << (stamp - 1) != 0).map(|stamp| at(stamp, 0)).collect();
        let names: Vec<_> = after.iter().map(|position| position.segment).collect();
        owners.push(Some(returning(OWNERS + 1, &after, &store)));
        let last = owners.len() - 1;
        let (mut accepted, mut came, mut ended, mut complete) = (BTreeMap::new(), BTreeMap::new(), Vec::new(), false);
        // The numbers that the last owner has written, and those that were acknowledged at one before it.
        let (mut shown, mut forgotten) = (BTreeSet::new(), BTreeSet::new());
        let mut is_final = [false; OWNERS as usize];
        owners[last].as_mut().unwrap().open(&Earlier { late: true, segments: names.clone(), ..Earlier::default() });
        let mut is_new = true;
        // In the end all hand over to the last one.
        let rest = (0..OWNERS as usize).map(|from| Step::HandOver { from, to: last, parts: usize::MAX, receipt: true });
        for (step, reads) in steps.into_iter().chain(rest.map(|step| (step, true))) {
            match step {
                Step::Accept(owner) if !is_final[owner] => {
                    let log = owners[owner].as_mut().expect("it has not handed over");
                    let number = accepted.entry(log.segment()).and_modify(|number| *number += 1).or_insert(1_u64);
                    accept(log, &format!("{owner}-{number}"), now).unwrap();
                }
                Step::Acknowledge(owner) if !is_final[owner] => {
                    let log = owners[owner].as_mut().expect("it has not handed over");
                    for outgoing in log.take(99, now).0 {
                        let What::Message(_, Some(place)) = outgoing.what else { continue };
                        forgotten.insert((place.segment, place.number));
                        prop_assert!(log.acknowledge(Some(place.segment), place.number).is_ok());
                    }
                }
                Step::HandOver { from, to, parts, receipt } if from < to && !is_final.get(to).is_some_and(|is_final| *is_final) => {
                    if let Some(mut former) = owners[from].take() {
                        is_final[from] = true;
                        let all = former.tail(now).parts(2, 1 << 10);
                        let arrive = parts.min(all.len());
                        let next = owners[to].as_mut().expect("it has not handed over");
                        all[..arrive].iter().for_each(|part| assert_eq!(next.adopt(part, now, &nothing, &mut Vec::new()), Outcome::Delivered));
                        owners[from] = (arrive < all.len() || !receipt).then_some(former);
                    }
                }
                _ => {}
            }
            if !reads {
                continue;
            }
            // The client reads what there is, acknowledges it, and believes what it is told.
            let client = owners[last].as_mut().unwrap();
            let mut told = std::mem::take(&mut is_new) && client.welcome().state == ResumedAs::Complete;
            for outgoing in client.take(99, now).0 {
                match outgoing.what {
                    What::Message(_, Some(place)) => {
                        let has = came.entry(place.segment).or_insert(0);
                        prop_assert!(!ended.contains(&place.segment), "after its end");
                        prop_assert!(!complete || !names.contains(&place.segment), "after all was there");
                        prop_assert_eq!(place.number, *has + 1, "a hole without a gap");
                        *has = place.number;
                        shown.insert((place.segment, place.number));
                    }
                    What::Notice(notice) => match *notice {
                        Notice::Closed(Position { segment, number }) => {
                            let has = came.get(&segment).copied().unwrap_or_default();
                            prop_assert!(number <= has, "it ends behind what was told of it");
                            ended.push(segment);
                        }
                        Notice::Resumed(Resumed { state, .. }) => told |= state == ResumedAs::Complete,
                        Notice::Gap { segment, from, to, why } => {
                            let has = came.entry(segment).or_insert(0);
                            prop_assert!(why == Hole::Acknowledged && from <= *has + 1 && from <= to);
                            for number in *has + 1..=to {
                                prop_assert!(forgotten.contains(&(segment, number)), "{number} was not acknowledged");
                            }
                            *has = to.max(*has);
                        }
                    },
                    What::Message(_, None) => prop_assert!(false, "without a number"),
                }
            }
            complete |= told; // All of it was written behind that.
            for (segment, number) in &came {
                prop_assert!(client.acknowledge(Some(*segment), *number).is_ok());
            }
        }
        for (segment, last) in accepted {
            for number in 1..=last {
                let place = (segment, number);
                prop_assert!(shown.contains(&place) || forgotten.contains(&place), "{place:?} came nowhere");
            }
        }
    }
}
