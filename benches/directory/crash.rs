//! How long the sessions of a killed node are still shown.
//!
//! Each round kills one node with SIGKILL. The two others are asked for each of its users, and for
//! their counts, over and over, until a whole sweep shows nothing of it, and for a while longer,
//! because what was hidden must not come back. Then it is started again under its name.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::client::Crowd;
use crate::cluster::{AGREED_WITHIN, Cluster, NAMES, Node};
use crate::figures::percentile;
use crate::http::Http;
use crate::options::Options;
use crate::server::Failure;
use crate::table::{Table, Verdict, as_us};

/// Runs the part.
///
/// # Errors
/// The cluster does not start, or does not agree between two rounds.
pub(crate) async fn run(options: &Options) -> Result<Vec<Table>, Failure> {
    let mut cluster = Cluster::start("crash").await?;
    let mut crowd = Crowd::new();
    for slot in 0..NAMES.len() {
        crowd.join(users(slot, cluster.nodes[slot].server.http)).await?;
    }
    let mut rounds = Rounds::default();
    for round in 0..options.rounds {
        cluster.all_visible((CLIENTS_PER_NODE * NAMES.len()) as u64).await?;
        let victim = round % NAMES.len();
        rounds.add(kill(&mut cluster, victim).await?);
        restart(&mut cluster, victim, round)?;
        crowd.join(users(victim, cluster.nodes[victim].server.http)).await?;
    }
    Ok(vec![rounds.table()])
}

/// The users whose clients are at the node of this place.
fn users(slot: usize, addr: SocketAddr) -> impl Iterator<Item = (String, SocketAddr)> {
    (0..CLIENTS_PER_NODE).map(move |number| (user(slot, number), addr))
}

fn user(slot: usize, number: usize) -> String {
    format!("crash-{}-{number}", NAMES[slot])
}

/// What one round showed.
struct Round {
    /// How long after the kill the last answer showed a session; `None` when it did not end.
    gone_after: Option<Duration>,
    /// Sessions of the other nodes that one of them did not show afterwards.
    missing: usize,
    /// Other members than the killed one that were called dead.
    false_dead: usize,
    /// Survivors whose log says that the killed one is dead.
    told: usize,
}

async fn kill(cluster: &mut Cluster, victim: usize) -> Result<Round, Failure> {
    let before: Vec<_> = cluster.stories()?.iter().map(|story| story.changes.len()).collect();
    let survivors: Vec<_> = (0..cluster.nodes.len()).filter(|slot| *slot != victim).collect();
    let mut asked = Vec::new();
    for slot in &survivors {
        asked.push(Http::open(cluster.nodes[*slot].server.http).await?);
    }
    let killed = Instant::now();
    cluster.nodes[victim].server.kill();
    let sweeps = asked.iter_mut().map(|http| last_shown(http, victim, killed));
    let shown: Vec<_> = futures_util::future::try_join_all(sweeps).await?;

    let mut missing = 0;
    for http in &mut asked {
        for slot in &survivors {
            missing += CLIENTS_PER_NODE - online(http, *slot).await?;
        }
    }
    let stories = cluster.stories()?;
    let dead = survivors.iter().flat_map(|slot| &stories[*slot].changes[before[*slot]..]);
    let dead: Vec<_> = dead.filter(|change| change.to == "dead").map(|change| &change.member).collect();
    let told = dead.iter().filter(|member| **member == NAMES[victim]).count();
    let gone_after = shown.into_iter().collect::<Option<Vec<_>>>().and_then(|shown| shown.into_iter().max());
    Ok(Round { gone_after, missing, false_dead: dead.len() - told, told })
}

/// Sweeps until nothing of the node is shown, and stays unseen. Gives the time from the kill to the
/// end of the first sweep after the last that showed something; `None` when it does not end.
async fn last_shown(http: &mut Http, victim: usize, killed: Instant) -> Result<Option<Duration>, Failure> {
    let deadline = killed + AGREED_WITHIN;
    let mut unseen = None;
    loop {
        let shown = online(http, victim).await? > 0 || counted(&http.get("/v1/stats").await?, NAMES[victim]);
        let now = Instant::now();
        match unseen {
            _ if shown => unseen = None,
            None => unseen = Some(now),
            Some(since) if now - since >= UNSEEN_FOR => return Ok(Some(since - killed)),
            Some(_) => {}
        }
        if now > deadline {
            return Ok(None);
        }
        sleep(SWEEP_PAUSE).await;
    }
}

/// How many of a node's users this node shows.
async fn online(http: &mut Http, slot: usize) -> Result<usize, Failure> {
    let mut online = 0;
    for number in 0..CLIENTS_PER_NODE {
        let answer = http.get(&format!("/v1/users/{}", user(slot, number))).await?;
        online += usize::from(answer["sessions"].as_array().is_some_and(|sessions| !sessions.is_empty()));
    }
    Ok(online)
}

/// Whether the counts have sessions of this node.
fn counted(stats: &Value, name: &str) -> bool {
    let nodes = stats["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    nodes.iter().any(|node| node["node"] == name && node["sessions"] != 0)
}

/// Starts a killed node again, with the survivors as its peers.
fn restart(cluster: &mut Cluster, slot: usize, round: usize) -> Result<(), Failure> {
    let peers = cluster.nodes.iter().filter(|node| node.name != NAMES[slot]);
    let peers: Vec<_> = peers.map(|node| node.server.mesh).collect();
    let log = format!("crash-{}-after-round-{}", NAMES[slot], round + 1);
    cluster.nodes[slot] = Node::start(NAMES[slot], &log, &peers, &[])?;
    cluster.nodes[slot].ready()
}

#[derive(Default)]
struct Rounds {
    count: usize,
    gone_ms: Vec<u32>,
    missing: usize,
    false_dead: usize,
    told: usize,
}

impl Rounds {
    fn add(&mut self, round: Round) {
        self.count += 1;
        self.gone_ms.extend(round.gone_after.map(|after| as_us(after) / 1_000));
        self.missing += round.missing;
        self.false_dead += round.false_dead;
        self.told += round.told;
    }

    fn table(mut self) -> Table {
        let clients = CLIENTS_PER_NODE * NAMES.len();
        let mut table = Table::new(format!("crash: three nodes, {clients} clients, one node killed"));
        self.gone_ms.sort_unstable();
        let seconds = |share| format!("{:.2} s", f64::from(percentile(&self.gone_ms, share)) / 1_000.0);
        let kept = self.count - self.gone_ms.len();
        let (goal, what) = (format!("< {GOAL_MS_MAX} ms"), "its sessions are shown nowhere, longest");
        match self.gone_ms.last() {
            Some(max) if kept == 0 => {
                table.goal(what, goal, seconds(1.0), Verdict::speed(*max < GOAL_MS_MAX));
            }
            _ => table.goal(what, goal, "never", Verdict::Missed),
        }
        table.tell("the same, median and shortest", format!("{}, {}", seconds(0.5), seconds(0.0)));
        let (rounds, goal) = (self.count, format!("0 after {} s", AGREED_WITHIN.as_secs()));
        table.goal(
            "rounds in which they stayed",
            goal,
            format!("{kept} of {rounds}"),
            Verdict::truth(kept == 0),
        );
        let missing = Verdict::truth(self.missing == 0);
        table.goal("sessions of the survivors not shown", "0", self.missing.to_string(), missing);
        let false_dead = Verdict::truth(self.false_dead == 0);
        table.goal("survivors called dead", "0", self.false_dead.to_string(), false_dead);
        let told = Verdict::truth(self.told == 2 * rounds);
        table.goal("killed nodes called dead", (2 * rounds).to_string(), self.told.to_string(), told);
        table
    }
}

const CLIENTS_PER_NODE: usize = 100;

/// The goal. Source: 3 s of silence until suspect, 3 s more until dead, and a second for the rounds
/// of the overlay and a keep-alive.
const GOAL_MS_MAX: u32 = 7_000;

/// The pause between two sweeps of a node. Guess: the goal is 500 times longer.
const SWEEP_PAUSE: Duration = Duration::from_millis(10);

/// How long nothing may come back until it counts as gone: five rounds of the overlay.
const UNSEEN_FOR: Duration = Duration::from_secs(1);
