//! Kept sessions under all at once: connections that break, takeovers, and nodes that stop one after the other and come
//! back, while numbered messages flow. Each that was answered as there or as held arrives once, and in order.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `PUSHMESH_STORM` | clients and rounds, as `300x20` | `40x2` |
//! | `PUSHMESH_STORM_NODE` | half of the clients are those of `clients/typescript`, run by this Node.js | all are of this file |

mod client;
mod lanes;
mod typescript;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::harness::{Launch, Node, alone, eventually, unique};
use client::StormClient;
use lanes::{Lane, Pushed};
use typescript::Receivers;

/// What clients and pushers share.
pub(crate) struct Storm {
    /// Where the nodes listen, now and after each restart.
    nodes: Vec<SocketAddr>,
    /// Nobody pushes or breaks anything any more.
    over: AtomicBool,
}

/// What a client has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The lane and the number of each message, in the order in which they came.
    messages: Vec<(usize, u64)>,
    /// What should not have happened.
    complaints: Vec<String>,
    resumed: usize,
}

#[tokio::test]
async fn through_broken_connections_takeovers_and_restarts_each_message_arrives_once_and_in_order() {
    let _alone = alone().await;
    let (clients, rounds) = size();
    let cluster = unique();
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["n1", "n2", "n3"] {
        nodes.push(Launch::dev(&cluster, name).peers(&nodes).start().await);
    }
    for node in &nodes {
        node.ready().await;
    }
    let addresses: Vec<_> = nodes.iter().map(|node| node.addr).collect();
    let storm = Arc::new(Storm { nodes: addresses, over: AtomicBool::new(false) });
    let node = std::env::var_os("PUSHMESH_STORM_NODE");
    let own = if node.is_some() { clients / 2 } else { clients };
    let mut receivers = node.map(|node| Receivers::start(&node, &storm.nodes, own..clients));
    let running: Vec<_> =
        (0..own).map(|user| tokio::spawn(StormClient::run(user, Arc::clone(&storm)))).collect();
    eventually("all clients are there", async || {
        let sessions = nodes[0].stats().await["sessions"].as_u64().unwrap_or(0) as usize;
        if sessions == clients { Ok(()) } else { Err(sessions) }
    })
    .await;
    let mut pushers = JoinSet::new();
    for pusher in 0..PUSHERS {
        let lanes = Lane::all(clients, storm.nodes.len()).filter(|lane| lane.index % PUSHERS == pusher);
        pushers.spawn(lanes::push(lanes.collect(), Arc::clone(&storm)));
    }
    for round in 0..rounds {
        let index = round % nodes.len();
        sleep(CALM).await;
        nodes[index].process.signal("TERM");
        assert!(nodes[index].process.end().await.success(), "{} stops in good order", nodes[index].name);
        let said = nodes[index].process.stderr();
        assert!(!said.contains("no other node keeps"), "{said}");
        let others = nodes.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, node)| node);
        let launch = Launch::dev(&cluster, &nodes[index].name).listen(&storm.nodes[index].to_string());
        nodes[index] = launch.peers(others).start().await;
        nodes[index].ready().await;
    }
    sleep(CALM).await;
    storm.over.store(true, Ordering::SeqCst);
    let pushed: Vec<Pushed> = pushers.join_all().await.into_iter().flatten().collect();
    let mut seen = Vec::new();
    for client in running {
        seen.push(client.await.expect("a client does not panic"));
    }
    if let Some(receivers) = &mut receivers {
        seen.extend(receivers.finish(&pushed).await);
    }
    judge(&pushed, &seen);
}

/// Holds what was answered against what arrived.
fn judge(pushed: &[Pushed], seen: &[Seen]) {
    let resumed: usize = seen.iter().map(|seen| seen.resumed).sum();
    let messages: u64 = pushed.iter().map(|lane| lane.last).sum();
    eprintln!("{messages} messages, {resumed} resumptions, {} clients", seen.len());
    assert!(resumed > seen.len(), "the connections have broken");
    for (user, seen) in seen.iter().enumerate() {
        assert!(seen.complaints.is_empty(), "client {user}: {:?}", seen.complaints);
    }
    for Pushed { lane, last } in pushed {
        let of_lane = seen[lane.user].messages.iter().filter(|(index, _)| *index == lane.index);
        let numbers: Vec<_> = of_lane.map(|(_, number)| *number).collect();
        let wrong = (1..=*last).zip(&numbers).find(|(expected, number)| expected != *number);
        assert_eq!(
            wrong,
            None,
            "client {} by way of node {}: {} of {last}",
            lane.user,
            lane.node,
            numbers.len()
        );
        assert_eq!(numbers.len() as u64, *last, "client {} by way of node {}", lane.user, lane.node);
    }
}

/// How many clients there are, and how often a node is restarted.
fn size() -> (usize, usize) {
    let Ok(text) = std::env::var("PUSHMESH_STORM") else { return (40, 2) };
    let size = text
        .split_once('x')
        .and_then(|(clients, rounds)| Some((clients.parse().ok()?, rounds.parse().ok()?)));
    size.unwrap_or_else(|| panic!("PUSHMESH_STORM is clients and rounds, such as 300x20, and not {text}"))
}

/// Pushes under way at once.
const PUSHERS: usize = 16;

/// How long the nodes are left alone between two restarts.
const CALM: Duration = Duration::from_secs(2);
