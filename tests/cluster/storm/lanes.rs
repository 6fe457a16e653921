//! The pushers: each lane is one user by way of one node, and its messages are numbered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::RootCertStore;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{Ends, Storm};
use crate::harness::Http;

/// One user by way of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) index: usize,
    pub(crate) user: usize,
    pub(crate) node: usize,
}

/// A lane, with what was taken of its messages.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) lane: Lane,
    /// The number of the last one.
    pub(crate) last: u64,
    /// Those that a kill may lose.
    pub(crate) unsure: BTreeSet<u64>,
}

impl Lane {
    /// The lanes of so many users by so many nodes.
    pub(crate) fn all(users: usize, nodes: usize) -> impl Iterator<Item = Self> {
        (0..users * nodes).map(move |index| Self { index, user: index / nodes, node: index % nodes })
    }
}

/// Pushes to these lanes in turn, each message until it is taken, as long as the storm lasts.
pub(super) async fn push(lanes: Vec<Lane>, storm: Arc<Storm>) -> Vec<Pushed> {
    let node = |addr| Http::new(format!("http://{addr}"), None, RootCertStore::empty());
    let nodes: Vec<_> = storm.nodes.iter().map(node).collect();
    let mut pushed: Vec<_> =
        lanes.into_iter().map(|lane| Pushed { lane, last: 0, unsure: BTreeSet::new() }).collect();
    while !storm.over.load(Ordering::SeqCst) {
        for Pushed { lane, last, unsure } in &mut pushed {
            let number = *last + 1;
            let outcome = push_one(&nodes[lane.node], *lane, number, storm.ends).await;
            if storm.ends == Ends::KilledUnstored && outcome == "delivered" {
                unsure.insert(number);
            }
            *last = number;
        }
    }
    pushed
}

/// Pushes a message until it is taken. Returns what became of it.
async fn push_one(node: &Http, lane: Lane, number: u64, ends: Ends) -> String {
    let wait = match ends {
        Ends::Killed => "?wait=stored",
        Ends::Stop | Ends::KilledUnstored if number.is_multiple_of(10) => "?wait=acked",
        Ends::Stop | Ends::KilledUnstored => "",
    };
    let path = format!("/v1/users/u{}/push{wait}", lane.user);
    let id = format!("{}-{number}", lane.index);
    let patience = Instant::now() + PATIENCE;
    loop {
        let headers = [("idempotency-key", id.as_str())];
        let answer = node.try_call("POST", &path, &headers, id.clone()).await;
        let outcome = answer.as_ref().map(|answer| answer.json["sessions"][0]["outcome"].clone());
        let outcome = outcome.as_ref().ok().and_then(Value::as_str).unwrap_or_default();
        let is_taken = match ends {
            Ends::Stop | Ends::KilledUnstored => matches!(outcome, "acked" | "delivered" | "queued"),
            // What is not stored is an error, whatever became of it.
            Ends::Killed => answer.as_ref().is_ok_and(|answer| answer.status == 200),
        };
        if is_taken {
            return outcome.to_owned();
        }
        assert!(Instant::now() < patience, "{id} was not taken: {answer:?}");
        sleep(AGAIN).await;
    }
}

/// How long a message may be refused: a node restarts within it.
const PATIENCE: Duration = Duration::from_secs(40);
/// Pause before a message is repeated.
const AGAIN: Duration = Duration::from_millis(50);
