//! Kept sessions under all at once: connections that break, takeovers, and nodes that stop one after the other and come
//! back, while numbered messages flow. Each that was answered as there or as held arrives once, and in order, or is told to be late.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `PUSHMESH_STORM` | clients and rounds, as `300x20` | `40x2` |
//! | `PUSHMESH_KILLS` | the same where nodes are killed, one every five seconds, as `100x36` | `30x3` |
//! | `PUSHMESH_STORM_NODE` | half of the clients are those of `clients/typescript`, run by this Node.js | all are of this file |

mod client;
mod lanes;
mod seen;
mod typescript;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::harness::{Launch, Node, alone, eventually, same, unique};
use client::StormClient;
use lanes::{Lane, Pushed};
use seen::{Seen, misplaced};
use typescript::Receivers;

/// What clients and pushers share.
pub(crate) struct Storm {
    /// Where the nodes listen, now and after each restart.
    nodes: Vec<SocketAddr>,
    /// Nobody pushes or breaks anything any more.
    over: AtomicBool,
    /// How nodes end.
    ends: Ends,
}

/// How the nodes of a storm end, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// They stop in good order. Nothing is lost that was answered as there or as held, and all of it comes in order or is told to be late.
    Stop,
    /// They are killed. Nothing is lost that was answered as stored, and it may come late.
    Killed,
    /// They are killed, and nobody waits until a message is stored. What was written and not acknowledged may be lost, and is counted.
    KilledUnstored,
}

impl Ends {
    /// What the nodes are started with. Where they are killed, two others hold what each accepts.
    fn flags(self) -> impl Iterator<Item = &'static str> {
        let flags: &[_] = if self.are_kills() { &["--copies", "2"] } else { &[] };
        flags.iter().copied()
    }

    fn are_kills(self) -> bool {
        self != Ends::Stop
    }
}

#[tokio::test]
async fn through_broken_connections_takeovers_and_restarts_each_message_arrives_once_and_in_order() {
    let _alone = alone().await;
    let (clients, rounds) = size("PUSHMESH_STORM", (40, 2));
    let mut course = Course::begin(3, clients, Ends::Stop, std::env::var_os("PUSHMESH_STORM_NODE")).await;
    for round in 0..rounds {
        let index = round % course.nodes.len();
        sleep(CALM).await;
        let node = &course.nodes[index];
        node.process.signal("TERM");
        assert!(node.process.end().await.success(), "{} stops in good order", node.name);
        let said = node.process.stderr();
        assert!(!said.contains("no other node keeps"), "{said}");
        course.start_again(index).await;
        course.nodes[index].ready().await;
    }
    sleep(CALM).await;
    course.finish().await;
}

#[tokio::test]
async fn through_killed_nodes_each_message_that_was_stored_arrives_once() {
    through_kills(Ends::Killed).await;
}

#[tokio::test]
async fn through_killed_nodes_each_message_that_was_queued_or_acknowledged_arrives_once() {
    through_kills(Ends::KilledUnstored).await;
}

async fn through_kills(ends: Ends) {
    let _alone = alone().await;
    let (clients, rounds) = size("PUSHMESH_KILLS", (30, 3));
    let mut course = Course::begin(5, clients, ends, None).await;
    for round in 0..rounds {
        sleep(BETWEEN_KILLS).await;
        let index = (round * 3 + round / 5) % course.nodes.len();
        course.nodes[index].process.kill();
        course.nodes[index].process.end().await;
        course.start_again(index).await;
    }
    sleep(BETWEEN_KILLS).await;
    course.finish().await;
}

/// A storm and all who take part in it.
struct Course {
    cluster: String,
    nodes: Vec<Node>,
    storm: Arc<Storm>,
    clients: Vec<JoinHandle<Seen>>,
    /// The clients of `clients/typescript`.
    receivers: Option<Receivers>,
    pushers: JoinSet<Vec<Pushed>>,
}

impl Course {
    /// All nodes are ready, all clients are connected, and messages flow. `typescript`: Node.js, which runs half of the clients.
    async fn begin(count: usize, clients: usize, ends: Ends, typescript: Option<OsString>) -> Self {
        let cluster = unique();
        let mut nodes: Vec<Node> = Vec::new();
        for number in 1..=count {
            let launch = Launch::dev(&cluster, &format!("n{number}")).flags(ends.flags());
            nodes.push(launch.peers(&nodes).start().await);
        }
        for node in &nodes {
            node.ready().await;
            if ends.are_kills() {
                eventually("copies have their members", async || {
                    same(node.metric("pushmesh_copies_groups_short").await, Some(0.0)).map(|_| ())
                })
                .await;
            }
        }
        let addresses: Vec<_> = nodes.iter().map(|node| node.addr).collect();
        let storm = Arc::new(Storm { nodes: addresses, over: AtomicBool::new(false), ends });
        let own = if typescript.is_some() { clients / 2 } else { clients };
        let receivers = typescript.map(|node| Receivers::start(&node, &storm.nodes, own..clients));
        let running = (0..own).map(|user| tokio::spawn(StormClient::run(user, Arc::clone(&storm)))).collect();
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
        Self { cluster, nodes, storm, clients: running, receivers, pushers }
    }

    /// A node whose process is over is started again, where it was.
    async fn start_again(&mut self, index: usize) {
        let launch = Launch::dev(&self.cluster, &self.nodes[index].name).flags(self.storm.ends.flags());
        let launch = launch.listen(&self.storm.nodes[index].to_string());
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != index);
        self.nodes[index] = launch.peers(others.map(|(_, node)| node)).start().await;
    }

    /// Nobody pushes or breaks anything any more: all that was answered has to arrive.
    async fn finish(mut self) {
        self.storm.over.store(true, Ordering::SeqCst);
        let pushed: Vec<Pushed> = self.pushers.join_all().await.into_iter().flatten().collect();
        let mut seen = Vec::new();
        for client in self.clients {
            seen.push(client.await.expect("a client does not panic"));
        }
        if let Some(receivers) = &mut self.receivers {
            seen.extend(receivers.finish(&pushed).await);
        }
        judge(&pushed, &seen, self.storm.ends);
    }
}

/// Holds what was answered against what arrived.
fn judge(pushed: &[Pushed], seen: &[Seen], ends: Ends) {
    let resumed: usize = seen.iter().map(|seen| seen.resumed).sum();
    let messages: u64 = pushed.iter().map(|lane| lane.last).sum();
    let partial: usize = seen.iter().map(|seen| seen.partial).sum();
    let late: usize =
        seen.iter().map(|seen| seen.arrivals.iter().filter(|arrival| arrival.late).count()).sum();
    eprintln!(
        "{messages} messages, {late} of them late, {resumed} resumptions, {partial} of them partial, {} clients",
        seen.len()
    );
    assert!(resumed > seen.len(), "the connections have broken");
    for (user, seen) in seen.iter().enumerate() {
        assert!(seen.complaints.is_empty(), "client {user}: {:?}", seen.complaints);
    }
    let lost: usize = pushed.iter().map(|pushed| pushed.lost(&seen[pushed.lane.user], ends)).sum();
    eprintln!("{lost} messages were lost that were written, and not acknowledged");
}

impl Pushed {
    /// Holds what was answered on a lane against what arrived. Returns how many messages are missing that may be.
    fn lost(&self, seen: &Seen, ends: Ends) -> usize {
        let Pushed { lane, last, unsure } = self;
        let at = format!("client {} by way of node {}", lane.user, lane.node);
        let of_lane: Vec<_> = seen.arrivals.iter().filter(|arrival| arrival.lane == lane.index).collect();
        if !ends.are_kills() {
            assert_eq!(misplaced(&of_lane), None, "{at}: they come in their order");
        }
        let arrived: BTreeSet<_> = of_lane.iter().map(|arrival| arrival.number).collect();
        assert_eq!(arrived.len(), of_lane.len(), "{at}: each comes once");
        assert!(arrived.iter().all(|number| (1..=*last).contains(number)), "{at}: nothing else comes");
        let missing = || (1..=*last).filter(|number| !arrived.contains(number));
        let promised = missing().find(|number| !unsure.contains(number));
        assert_eq!(promised, None, "{at}: {} of {last} have come", arrived.len());
        missing().count()
    }
}

/// How many clients there are, and how often a node is restarted.
fn size(variable: &str, default: (usize, usize)) -> (usize, usize) {
    let Ok(text) = std::env::var(variable) else { return default };
    let size = text
        .split_once('x')
        .and_then(|(clients, rounds)| Some((clients.parse().ok()?, rounds.parse().ok()?)));
    size.unwrap_or_else(|| panic!("{variable} is clients and rounds, such as 300x20, and not {text}"))
}

/// Pushes under way at once.
const PUSHERS: usize = 16;

/// Time from one killed node to the next. Source: the design.
const BETWEEN_KILLS: Duration = Duration::from_secs(5);

/// How long the nodes are left alone between two restarts.
const CALM: Duration = Duration::from_secs(2);
