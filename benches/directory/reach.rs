//! How soon a session that was claimed on one node is routable on the others.
//!
//! Two nodes are asked for the user again and again, over connections that are open already, while
//! a client connects to the third. A sample counts until *both* have shown the session. The claim is
//! made before the client has its 101, so that a sample may be below zero; it counts as zero. What
//! is measured is when an answer has arrived, so that a round trip of HTTP is always in it.

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};

use crate::churn::Churn;
use crate::client::{Socket, close, open};
use crate::cluster::Cluster;
use crate::dial::dial;
use crate::figures::percentile;
use crate::http::Http;
use crate::options::Options;
use crate::process::cpu_us;
use crate::server::Failure;
use crate::table::{Table, Verdict, as_us, milliseconds};

/// Runs the part: a quiet cluster first, then one with clients that come and go.
///
/// # Errors
/// The cluster does not start or does not answer.
pub(crate) async fn run(options: &Options) -> Result<Vec<Table>, Failure> {
    let cluster = Cluster::start("reach").await?;
    let mut prober = Prober::open(&cluster, options.seed).await?;
    let samples = prober.watch(&QUIET, options.samples).await?;
    let mut quiet = Table::new("reach: a new session on the other two nodes, in a quiet cluster");
    samples.fill(&mut quiet, QUIET.goal);
    let mut busy = Table::new(format!("reach: the same during {} connects a second", options.rate));
    under_churn(&cluster, &mut prober, options, &mut busy).await?;
    let dead: usize = cluster.stories()?.iter().map(|story| story.count("dead")).sum();
    busy.goal("members called dead, quiet or not", "0", dead.to_string(), Verdict::truth(dead == 0));
    Ok(vec![quiet, busy])
}

async fn under_churn(
    cluster: &Cluster,
    prober: &mut Prober,
    options: &Options,
    table: &mut Table,
) -> Result<(), Failure> {
    let churn = Churn::start(cluster.nodes.iter().map(|node| node.server.http).collect(), options.rate);
    sleep(WARM_UP).await;
    let (began, before) = (Instant::now(), churn.tally());
    let (nodes_us, own_us) = (cluster.cpu_us()?, cpu_us(std::process::id())?);
    prober.watch(&BUSY, options.samples).await?.fill(table, BUSY.goal);
    let after = churn.tally();
    let cores = |us: u64| us as f64 / 1e6 / began.elapsed().as_secs_f64();
    let (nodes, own) = (cores(cluster.cpu_us()? - nodes_us), cores(cpu_us(std::process::id())? - own_us));

    let rate = after.rate_since(&before);
    let reached = Verdict::speed(rate >= f64::from(options.rate) * RATE_SHARE);
    table.goal(
        "connects a second, and as many disconnects",
        options.rate.to_string(),
        format!("{rate:.0}"),
        reached,
    );
    let (failed, held_back) = (after.failed - before.failed, after.held_back - before.held_back);
    table.tell("connects that failed, that were not started", format!("{failed}, {held_back}"));
    table.tell("cores used by the three nodes, by this bench", format!("{nodes:.2}, {own:.2}"));
    Ok(())
}

/// Under which circumstances samples are taken.
struct Regime {
    /// Names the users, so that none is used twice.
    label: &'static str,
    goal: Goal,
    /// Bounds of the pause between two samples, in milliseconds.
    pause_ms: (u64, u64),
    /// The pause between two questions to the same node; `None` asks again at once.
    look_pause: Option<Duration>,
}

/// What a percentile of the samples has to stay below.
#[derive(Debug, Clone, Copy)]
enum Goal {
    MedianMs(u32),
    P99Ms(u32),
}

/// Takes samples.
struct Prober {
    /// A connection to each node. The first is the one that claims next.
    nodes: Vec<Http>,
    /// Their addresses, in the same order.
    addrs: Vec<SocketAddr>,
    random: StdRng,
}

/// What the samples showed, in microseconds.
#[derive(Default)]
struct Samples {
    since_answer: Vec<u32>,
    since_request: Vec<u32>,
    gone: Vec<u32>,
    looks: u32,
    looked: Duration,
    /// Sessions that a node did not show, or went on to show, for [`PATIENCE`].
    wrong: usize,
}

impl Prober {
    async fn open(cluster: &Cluster, seed: u64) -> Result<Self, Failure> {
        let addrs: Vec<_> = cluster.nodes.iter().map(|node| node.server.http).collect();
        let mut nodes = Vec::new();
        for addr in &addrs {
            nodes.push(Http::open(*addr).await?);
        }
        Ok(Self { nodes, addrs, random: StdRng::seed_from_u64(seed) })
    }

    async fn watch(&mut self, regime: &Regime, count: usize) -> Result<Samples, Failure> {
        let mut samples = Samples::default();
        for number in 0..count {
            // Each node in turn is the one that claims.
            self.nodes.rotate_left(1);
            self.addrs.rotate_left(1);
            let user = format!("{}{number}", regime.label);
            self.pause(regime).await;
            let socket = self.arrival(&user, regime, &mut samples).await?;
            self.pause(regime).await;
            self.departure(socket, &user, regime, &mut samples).await?;
        }
        Ok(samples)
    }

    async fn pause(&mut self, regime: &Regime) {
        let (min, max) = regime.pause_ms;
        sleep(Duration::from_millis(self.random.random_range(min..=max))).await;
    }

    async fn arrival(
        &mut self,
        user: &str,
        regime: &Regime,
        samples: &mut Samples,
    ) -> Result<Socket, Failure> {
        let [.., first, second] = &mut self.nodes[..] else { return Err(TOO_FEW.into()) };
        let stream = dial(self.addrs[0]).await?;
        let requested = Instant::now();
        let claim = async {
            let socket = open(stream, user, "phone").await?;
            Ok::<_, Failure>((socket, Instant::now()))
        };
        let (claimed, first, second) = tokio::join!(
            claim,
            look(first, user, true, regime.look_pause),
            look(second, user, true, regime.look_pause)
        );
        let ((socket, answered), seen) = (claimed?, samples.later(first?, second?));
        if let Some(seen) = seen {
            samples.since_answer.push(as_us(seen.saturating_duration_since(answered)));
            samples.since_request.push(as_us(seen.saturating_duration_since(requested)));
        }
        Ok(socket)
    }

    async fn departure(
        &mut self,
        socket: Socket,
        user: &str,
        regime: &Regime,
        samples: &mut Samples,
    ) -> Result<(), Failure> {
        let [.., first, second] = &mut self.nodes[..] else { return Err(TOO_FEW.into()) };
        let left = Instant::now();
        let ((), first, second) = tokio::join!(
            close(socket),
            look(first, user, false, regime.look_pause),
            look(second, user, false, regime.look_pause)
        );
        if let Some(gone) = samples.later(first?, second?) {
            samples.gone.push(as_us(gone.saturating_duration_since(left)));
        }
        Ok(())
    }
}

/// What looking at one node showed.
struct Look {
    /// When the answer that was waited for had arrived.
    at: Option<Instant>,
    looks: u32,
    looked: Duration,
}

/// Asks a node for the user until it shows a session, or none any more.
async fn look(node: &mut Http, user: &str, online: bool, pause: Option<Duration>) -> Result<Look, Failure> {
    let path = format!("/v1/users/{user}");
    let deadline = Instant::now() + PATIENCE;
    let mut look = Look { at: None, looks: 0, looked: Duration::ZERO };
    loop {
        let asked = Instant::now();
        let answer = node.get(&path).await?;
        let now = Instant::now();
        look.looks += 1;
        look.looked += now - asked;
        let shown = answer["sessions"].as_array().is_some_and(|sessions| !sessions.is_empty());
        if shown == online {
            look.at = Some(now);
        }
        if look.at.is_some() || now > deadline {
            return Ok(look);
        }
        if let Some(pause) = pause {
            sleep(pause).await;
        }
    }
}

impl Samples {
    /// When both nodes had shown it. Notes it if one never did.
    fn later(&mut self, first: Look, second: Look) -> Option<Instant> {
        self.looks += first.looks + second.looks;
        self.looked += first.looked + second.looked;
        let both = first.at.zip(second.at).map(|(first, second)| first.max(second));
        self.wrong += usize::from(both.is_none());
        both
    }

    fn fill(mut self, table: &mut Table, goal: Goal) {
        for figures in [&mut self.since_answer, &mut self.since_request, &mut self.gone] {
            figures.sort_unstable();
        }
        let of = |figures: &[u32], share| match figures {
            [] => "none".to_owned(),
            _ => milliseconds(percentile(figures, share)),
        };
        let (median, p99) = (of(&self.since_answer, 0.5), of(&self.since_answer, 0.99));
        let all = self.wrong == 0;
        let within = |share, ms| Verdict::speed(all && percentile(&self.since_answer, share) < ms * 1_000);
        match goal {
            Goal::MedianMs(ms) => {
                table.goal("since the client's 101, median", format!("< {ms} ms"), median, within(0.5, ms));
                table.tell("since the client's 101, p99", p99);
            }
            Goal::P99Ms(ms) => {
                table.tell("since the client's 101, median", median);
                table.goal("since the client's 101, p99", format!("< {ms} ms"), p99, within(0.99, ms));
            }
        }
        let pair = |figures: &[u32]| format!("{}, {}", of(figures, 0.5), of(figures, 0.99));
        table.tell("since the client's request, median and p99", pair(&self.since_request));
        table.tell("gone since the client's goodbye, median and p99", pair(&self.gone));
        table.tell("samples", self.since_answer.len().to_string());
        table.tell("one look takes, mean", milliseconds(as_us(self.looked / self.looks.max(1))));
        let within = format!("0 after {} s", PATIENCE.as_secs());
        table.goal(
            "not routable, or still shown",
            within,
            self.wrong.to_string(),
            Verdict::truth(self.wrong == 0),
        );
    }
}

const TOO_FEW: &str = "three nodes are needed";

/// Between two changes the streams fall silent, which they do after 20 ms, and nothing else loads the
/// machine, so that looking needs no pause.
const QUIET: Regime =
    Regime { label: "quiet", goal: Goal::MedianMs(5), pause_ms: (100, 150), look_pause: None };

/// The pause varies by more than the 20 ms over which changes are gathered, so that samples fall
/// anywhere in them. Looking without pause would keep a core busy that the load needs.
const BUSY: Regime = Regime {
    label: "busy",
    goal: Goal::P99Ms(60),
    pause_ms: (10, 50),
    look_pause: Some(Duration::from_millis(1)),
};

/// How long the load runs before it counts: until as many leave as come, and more.
const WARM_UP: Duration = Duration::from_secs(5);

/// A session that is not shown after this long never will be: the directory has no timer above 200 ms.
const PATIENCE: Duration = Duration::from_secs(5);

/// The share of the rate that counts as reached; the rest is the error of measuring it.
const RATE_SHARE: f64 = 0.98;
