//! What links that lose a fifth of their datagrams do to the members' opinion of each other.
//!
//! Every node is reached through a relay that drops datagrams in both directions, from the first
//! one on. Clients stay connected, messages trickle through nodes that do not own them, and every
//! node is asked all the time what it thinks of the others. None of them is ever dead.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::client::Crowd;
use crate::cluster::{Cluster, NAMES, Node};
use crate::figures::percentile;
use crate::http::Http;
use crate::log::Story;
use crate::options::Options;
use crate::relay::Relay;
use crate::server::Failure;
use crate::table::{Table, Verdict, as_us, milliseconds};
use crate::watch::{Opinions, watch};

/// Runs the part.
///
/// # Errors
/// The cluster does not start, or does not answer.
pub(crate) async fn run(options: &Options) -> Result<Vec<Table>, Failure> {
    let (cluster, relays) = start(options).await?;
    let mut crowd = Crowd::new();
    let users = (0..CLIENTS).map(|user| (format!("loss{user}"), owner(&cluster, user)));
    crowd.join(users).await?;
    cluster.all_visible(CLIENTS as u64).await?;

    let until = Instant::now() + options.watched;
    let pushers = pushers(&cluster, until).await?;
    let opinions = watch(&cluster, until).await?;
    let mut pushed = Pushed::default();
    for pusher in pushers.join_all().await {
        pushed.add(pusher?);
    }
    let visible = cluster.all_visible(CLIENTS as u64).await;
    pushed.arrived(&crowd).await;

    let (percent, minutes) = (options.loss * 100.0, options.watched.as_secs() / 60);
    let mut table = Table::new(format!("loss: {percent} % of the datagrams each way, {minutes} min"));
    tell_members(&mut table, opinions, &cluster.stories()?);
    let verdict = Verdict::truth(visible.is_ok());
    let told = visible.map_or_else(|problem| problem.to_string(), |()| "all".to_owned());
    table.goal("sessions that all nodes show afterwards", format!("all {CLIENTS}"), told, verdict);
    pushed.tell(&mut table);
    table.tell("connections of clients lost", crowd.seen().ended.load(Ordering::Relaxed).to_string());
    let (passed, dropped) = relays.iter().map(Relay::carried).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    let share = 100.0 * dropped as f64 / (passed + dropped).max(1) as f64;
    table.tell("datagrams passed, dropped", format!("{passed}, {dropped} ({share:.1} %)"));
    Ok(vec![table])
}

/// Starts the nodes behind their relays.
async fn start(options: &Options) -> Result<(Cluster, Vec<Relay>), Failure> {
    let mut cluster = Cluster { nodes: Vec::new() };
    let mut relays: Vec<Relay> = Vec::new();
    for (name, number) in NAMES.iter().zip(0..) {
        let relay = Relay::open(options.loss, options.seed.wrapping_add(number)).await?;
        let peers: Vec<_> = relays.iter().map(|relay| relay.addr).collect();
        let flags = ["--mesh-advertise".to_owned(), relay.addr.to_string()];
        let mut node = Node::start(name, &format!("loss-{name}"), &peers, &flags)?;
        relay.aim(node.server.mesh);
        node.ready()?;
        cluster.nodes.push(node);
        relays.push(relay);
    }
    cluster.all_visible(0).await?;
    Ok((cluster, relays))
}

/// The node that a client is connected to.
fn owner(cluster: &Cluster, user: usize) -> SocketAddr {
    cluster.nodes[user % cluster.nodes.len()].server.http
}

/// What became of the messages.
#[derive(Debug, Default)]
struct Pushed {
    outcomes: BTreeMap<String, u64>,
    latencies_us: Vec<u32>,
    /// Messages that reached their clients, whatever the answers were.
    arrived: u64,
}

/// Starts the trickle: each pusher sends one message after the other, at its own pace.
async fn pushers(cluster: &Cluster, until: Instant) -> Result<JoinSet<Result<Pushed, Failure>>, Failure> {
    let mut pushers = JoinSet::new();
    for number in 0..PUSHERS {
        let mut nodes = Vec::new();
        for node in &cluster.nodes {
            nodes.push(Http::open(node.server.http).await?);
        }
        pushers.spawn(push(nodes, number, until));
    }
    Ok(pushers)
}

async fn push(mut nodes: Vec<Http>, number: usize, until: Instant) -> Result<Pushed, Failure> {
    let mut pushed = Pushed::default();
    let mut pace = interval(PUSH_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 0.. {
        pace.tick().await;
        if Instant::now() >= until {
            break;
        }
        let user = (number + turn * PUSHERS) % CLIENTS;
        // Never through the owner, and through both of the others in turn.
        let via = (user + 1 + turn % (nodes.len() - 1)) % nodes.len();
        let began = Instant::now();
        let (status, answer) =
            nodes[via].post(&format!("/v1/users/loss{user}/push"), format!("message {turn}")).await?;
        pushed.latencies_us.push(as_us(began.elapsed()));
        let outcome = answer["sessions"][0]["outcome"].as_str().unwrap_or("none");
        *pushed.outcomes.entry(format!("{status} {outcome}")).or_default() += 1;
    }
    Ok(pushed)
}

impl Pushed {
    fn add(&mut self, other: Self) {
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.latencies_us.extend(other.latencies_us);
    }

    fn delivered(&self) -> u64 {
        self.outcomes.get("200 delivered").copied().unwrap_or(0)
    }

    /// Waits for what is called delivered, which may be on its way from the kernel to the clients.
    async fn arrived(&mut self, crowd: &Crowd) {
        let deadline = Instant::now() + ARRIVED_WITHIN;
        let arrived = || crowd.seen().messages.load(Ordering::Relaxed);
        while arrived() < self.delivered() && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
        self.arrived = arrived();
    }

    fn tell(mut self, table: &mut Table) {
        self.latencies_us.sort_unstable();
        let outcomes: Vec<_> =
            self.outcomes.iter().map(|(outcome, count)| format!("{count} x {outcome}")).collect();
        table.tell("pushes by outcome", outcomes.join(", "));
        let of = |share| milliseconds(percentile(&self.latencies_us, share));
        table.tell("their answers, median, p99, max", format!("{}, {}, {}", of(0.5), of(0.99), of(1.0)));
        let (delivered, arrived) = (self.delivered(), self.arrived);
        let verdict = Verdict::truth(arrived >= delivered);
        table.goal(
            "messages that arrived",
            format!(">= {delivered} delivered"),
            arrived.to_string(),
            verdict,
        );
    }
}

/// What the nodes thought of each other.
fn tell_members(table: &mut Table, mut opinions: Opinions, stories: &[Story]) {
    let seen = |state: &str| opinions.states.get(state).copied().unwrap_or(0);
    let looks: u64 = opinions.states.values().sum();
    let written = |state: &str| stories.iter().map(|story| story.count(state)).sum::<usize>();
    let dead = (seen("dead"), written("dead"));
    let goal = format!("0 of {looks}, 0");
    table.goal(
        "looks that showed dead, logged",
        goal,
        format!("{}, {}", dead.0, dead.1),
        Verdict::truth(dead == (0, 0)),
    );
    let share = 100.0 * seen("suspect") as f64 / looks.max(1) as f64;
    table.tell(
        "looks that showed suspect, logged",
        format!("{} ({share:.2} %), {}", seen("suspect"), written("suspect")),
    );
    table.tell(
        "looks that showed unreachable, logged",
        format!("{}, {}", seen("unreachable"), written("unreachable")),
    );
    opinions.suspected_ms.sort_unstable();
    let lasted = |share| f64::from(percentile(&opinions.suspected_ms, share)) / 1_000.0;
    table.tell("suspicions lasted, median, max", format!("{:.2} s, {:.2} s", lasted(0.5), lasted(1.0)));
    let lost: usize = stories.iter().map(|story| story.links_lost).sum();
    table.tell("links lost, looks without a link", format!("{lost}, {}", opinions.unlinked));
    opinions.rtt_us.sort_unstable();
    let rtt = |share| milliseconds(percentile(&opinions.rtt_us, share));
    table.tell("round trip, median, p99, max", format!("{}, {}, {}", rtt(0.5), rtt(0.99), rtt(1.0)));
    // The log is read as text: here it proves that it is understood.
    let met = stories.iter().map(|story| story.changes.iter().filter(|change| change.to == "alive").count());
    let (met, goal) = (met.sum::<usize>(), NAMES.len() * (NAMES.len() - 1));
    table.goal("logged alive", format!(">= {goal}"), met.to_string(), Verdict::truth(met >= goal));
}

/// A few hundred, as many at each node.
const CLIENTS: usize = 300;
/// Together they send twenty messages a second, and at most so many are under way.
const PUSHERS: usize = 8;
const PUSH_EVERY: Duration = Duration::from_millis(400);
/// Longer than a write to a socket on the same machine can take.
const ARRIVED_WITHIN: Duration = Duration::from_secs(2);
