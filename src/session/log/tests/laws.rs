//! The law of what is kept, over random histories of a session that moves from owner to owner.

use proptest::prelude::*;

use super::*;

/// One step of a client's life.
#[derive(Debug, Clone)]
enum Step {
    /// A message is accepted, for so many seconds.
    Accept(Option<u32>),
    /// So many messages are written and arrive.
    Write(usize),
    /// The client acknowledges all that it has of its newest so many segments.
    Ack(usize),
    /// Time passes.
    Pass(u64),
    /// The connection breaks; what was written last may not have arrived.
    Move { arrives: bool, remembers: bool, resends: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::option::of(0_u32..3).prop_map(Step::Accept),
        3 => (1_usize..4).prop_map(Step::Write),
        2 => (1_usize..3).prop_map(Step::Ack),
        1 => (0_u64..2).prop_map(Step::Pass),
        1 => any::<[bool; 3]>().prop_map(|[arrives, remembers, resends]| Step::Move { arrives, remembers, resends }),
    ]
}

/// A client, as docs/PROTOCOL.md asks of it.
#[derive(Default)]
struct Client {
    positions: BTreeMap<Segment, u64>,
    /// The ids that it has shown to the application.
    shown: Vec<String>,
    told_gone: usize,
}

impl Client {
    fn receives(&mut self, own: Segment, outgoing: &Outgoing) {
        match &outgoing.what {
            What::Message(message, place) => {
                let Place { segment, number, is_older } = place.expect("it has a number");
                assert_eq!(is_older, segment != own);
                let has = self.positions.entry(segment).or_insert(0);
                if number <= *has {
                    return;
                }
                assert_eq!(number, *has + 1, "a hole without a gap");
                *has = number;
                // Of a segment whose position is forgotten it may be there already.
                if !self.shown.contains(&message.id.to_string()) {
                    self.shown.push(message.id.to_string());
                }
            }
            What::Notice(notice) => match &**notice {
                Notice::Gap { segment, from, to, why } => {
                    let has = self.positions.entry(*segment).or_insert(0);
                    assert!(*from <= *has + 1 && from <= to, "a gap after a hole");
                    self.told_gone +=
                        if *why == Hole::Expired { (*to - (*from - 1).max(*has)) as usize } else { 0 };
                    *has = (*has).max(*to);
                }
                Notice::Closed(position) => drop(self.positions.remove(&position.segment)),
                Notice::Resumed(_) => {}
            },
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_each_message_is_shown_once_in_its_order_or_its_loss_is_told(steps in prop::collection::vec(step(), 1..60)) {
        let store = store(StoreBounds { messages_max: 1_000, bytes_max: 1 << 20, node_bytes_max: 1 << 30 });
        let (mut now, mut stamp) = (Instant::now(), 1);
        let (mut log, mut client, mut accepted) = (log(stamp, &store), Client::default(), Vec::new());
        client.positions.insert(log.segment(), 0);
        for step in steps {
            match step {
                Step::Accept(ttl) => {
                    let id = accepted.len().to_string();
                    if accept_on(&mut log, &id, Terms { ttl, ..Terms::default() }, now, None).is_ok() {
                        accepted.push(id);
                    }
                }
                Step::Write(messages) => {
                    let (batch, _) = log.take(messages, now);
                    batch.iter().for_each(|outgoing| client.receives(log.segment(), outgoing));
                    log.written(batch);
                }
                Step::Ack(segments) => {
                    for (segment, number) in client.positions.iter().rev().take(segments) {
                        prop_assert!(log.acknowledge(Some(*segment), *number).is_ok());
                    }
                }
                Step::Pass(seconds) => now += Duration::from_secs(seconds),
                Step::Move { arrives, remembers, resends } => {
                    let (batch, _) = log.take(1, now);
                    if arrives {
                        batch.iter().for_each(|outgoing| client.receives(log.segment(), outgoing));
                        log.written(batch);
                    }
                    log.rewind(now);
                    stamp += 1;
                    if !remembers {
                        let own = log.segment();
                        client.positions.retain(|segment, _| *segment == own);
                    }
                    let after = client.positions.iter().rev().take(limits::POSITIONS_MAX);
                    let after: Vec<_> = after.map(|(segment, number)| Position { segment: *segment, number: *number }).collect();
                    client.positions.retain(|segment, _| after.iter().any(|position| position.segment == *segment));
                    let mut next = returning(stamp, &after, &store);
                    hand_over(&mut log, &mut next, now);
                    if resends {
                        hand_over(&mut log, &mut next, now);
                    }
                    prop_assert_eq!(open(&mut next), ResumedAs::Complete);
                    client.positions.insert(next.segment(), 0);
                    log = next;
                }
            }
        }
        // In the end the client reads all that there is.
        loop {
            let (batch, _) = log.take(9, now);
            let ended = batch.is_empty();
            batch.iter().for_each(|outgoing| client.receives(log.segment(), outgoing));
            log.written(batch);
            for (segment, number) in client.positions.clone() {
                prop_assert!(log.acknowledge(Some(segment), number).is_ok());
            }
            if ended {
                break;
            }
        }
        let mut order = client.shown.clone();
        order.sort_by_key(|id| id.parse::<u64>().unwrap());
        prop_assert_eq!(&order, &client.shown, "each in its order");
        order.dedup();
        prop_assert_eq!(order.len(), client.shown.len());
        prop_assert!(client.shown.len() + client.told_gone >= accepted.len(), "{} of {}", client.shown.len(), accepted.len());
        prop_assert_eq!(log.len(), 0);
        drop(log);
        prop_assert_eq!((store.used(Origin::Here), store.used(Origin::Elsewhere)), (0, 0));
    }
}
