//! `pushmesh demo`: a real cluster in one process, and a short story of what it does.
//!
//! Every node of the demo is the shipped [`Node`](crate::node::Node) on real sockets, with a runtime
//! of its own, so that killing one takes all its tasks and sockets away at once, as the end of a
//! process does. Nothing in the story is assumed: each line is printed after it was seen to happen.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::time::{Instant, sleep, timeout};

use super::exit::Exit;
use super::log::{self, LogFormat};
use super::output::{print_line, tell};
use crate::push::Outcome;

mod client;
mod cluster;
mod kept;
mod patience;

use client::Client;
use cluster::Cluster;
use kept::{Away, KeptClient};
use patience::PATIENCE;

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// How many nodes, 2 to 9
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=9))]
    nodes: u16,

    /// HTTP port of the first node; the others take the ports after it
    #[arg(long, default_value_t = 8080)]
    port: u16,

    /// End after the story; the exit code is not 0 if anything was not delivered
    #[arg(long)]
    exit: bool,
}

/// Runs the demo.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    log::start("error", LogFormat::Text)?;
    let mut story = Story::begin(&args).await?;
    let told = tokio::select! {
        told = story.tell() => told,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if let Err(error) = told {
        tell(format!("pushmesh: the demo did not go as it should: {error:#}"));
        return Ok(Exit::NotDelivered.into());
    }
    print_line(format!("\nAll {} pushes were delivered and seen by their client.", story.delivered))?;
    if !args.exit {
        story.invite()?;
        tokio::signal::ctrl_c().await.context("cannot listen for Ctrl-C")?;
        print_line("")?;
    }
    story.cluster.shutdown().await;
    Ok(Exit::Done.into())
}

struct Story {
    cluster: Cluster,
    delivered: u32,
    chapter: u32,
}

impl Story {
    async fn begin(args: &DemoArgs) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut cluster = Cluster::new(args.port);
        for _ in 0..args.nodes {
            cluster.add().await?;
        }
        cluster.all_alive(usize::from(args.nodes)).await?;
        print_line(format!(
            "A cluster of {} nodes is up after {} ms: no broker, each knows all the others.",
            args.nodes,
            began.elapsed().as_millis()
        ))?;
        for node in cluster.running() {
            print_line(format!(
                "  {}   http://{}   mesh {}",
                node.name(),
                node.http_addr(),
                node.mesh_addr()
            ))?;
        }
        Ok(Self { cluster, delivered: 0, chapter: 0 })
    }

    async fn tell(&mut self) -> anyhow::Result<()> {
        let last = self.cluster.len() - 1;
        let homes = [0, 1, last];
        let mut clients = Vec::new();
        self.title("Three clients connect, to different nodes")?;
        for (user, home) in ["alice", "bob", "carol"].into_iter().zip(homes) {
            let client = Client::connect(self.cluster.node(home)?.http_addr(), user, "phone").await?;
            self.cluster.visible(user, home).await?;
            print_line(format!("  {user:<6} is connected to {}", self.cluster.name(home)))?;
            clients.push(client);
        }
        self.title("A push through any node reaches the one node that holds the client")?;
        for client in &mut clients {
            for via in 0..self.cluster.len() {
                self.push(via, client).await?;
            }
        }
        let [mut alice, _bob, mut carol] = <[Client; 3]>::try_from(clients).ok().context("three clients")?;
        self.takeover(&mut alice).await?;
        self.away_and_back().await?;
        self.kill_and_return(last, &mut carol).await
    }

    async fn takeover(&mut self, alice: &mut Client) -> anyhow::Result<()> {
        self.title("The same user and device connects elsewhere: the new connection takes over")?;
        let to = 1;
        let mut moved = Client::connect(self.cluster.node(to)?.http_addr(), "alice", "phone").await?;
        let (code, reason) = alice.closed().await?;
        ensure!(code == 4001, "the old connection was closed with {code} {reason}");
        print_line(format!(
            "  alice moves to {}; the old connection is closed: {code} {reason}",
            self.cluster.name(to)
        ))?;
        for via in 0..self.cluster.len() {
            self.push(via, &mut moved).await?;
        }
        *alice = moved;
        Ok(())
    }

    async fn away_and_back(&mut self) -> anyhow::Result<()> {
        self.title("A client goes away for five seconds; what is pushed meanwhile waits for it")?;
        let (from, to) = (0, 1);
        let dave = KeptClient::connect(self.cluster.node(from)?.http_addr(), "dave").await?;
        self.cluster.visible("dave", from).await?;
        print_line(format!("  dave connects to {} with ?keep=60, and loses it", self.cluster.name(from)))?;
        let away = dave.lose(0);
        self.cluster.parked("dave").await?;
        let texts = numbered(AWAY_PUSHES);
        for (text, via) in texts.iter().zip((0..self.cluster.len()).cycle()) {
            self.queue(via, "dave", text).await?;
            sleep(AWAY_FOR / AWAY_PUSHES).await;
        }
        print_line(format!("  {AWAY_PUSHES} pushes through all nodes: each is queued"))?;
        let mut dave = away.back(self.cluster.node(to)?.http_addr()).await?;
        self.arrive("dave", &mut dave, texts).await?;
        print_line(format!(
            "  dave comes back, to {}: resumed {}, all {AWAY_PUSHES} arrive once and in their order",
            self.cluster.name(to),
            dave.resumed
        ))
    }

    async fn kill_and_return(&mut self, victim: usize, carol: &mut Client) -> anyhow::Result<()> {
        let name = self.cluster.name(victim);
        self.title(&format!("{name} is killed, without a goodbye, while a client of it is away"))?;
        let away = self.left_at(victim).await?;
        let killed = Instant::now();
        self.cluster.kill(victim);
        self.outlives(away, killed).await?;
        let first = self.cluster.push(0, "carol", "are you there?").await?;
        let outcome = first.report.best();
        ensure!(outcome != Outcome::Delivered, "a push to a dead node was called delivered");
        print_line(format!(
            "  a push to carol right after it: {} after {} ms, never \"delivered\"",
            outcome.as_str(),
            first.took.as_millis()
        ))?;
        self.cluster.invisible("carol", victim).await?;
        print_line(format!(
            "  {} s after the kill every other node has stopped counting its sessions",
            tenths(killed.elapsed())
        ))?;
        *carol = Client::connect(self.cluster.node(0)?.http_addr(), "carol", "phone").await?;
        self.cluster.visible("carol", 0).await?;
        print_line(format!("  carol reconnects, to {}", self.cluster.name(0)))?;
        // Through another node, if one is left.
        let via = if victim == 1 { 0 } else { 1 };
        self.push(via, carol).await?;

        self.title(&format!("{name} comes back under its name"))?;
        let began = Instant::now();
        let incarnations = self.cluster.restart(victim).await?;
        self.cluster.all_alive(self.cluster.len()).await?;
        print_line(format!(
            "  {name} is ready again after {} ms, incarnation {} after {}",
            began.elapsed().as_millis(),
            incarnations.1,
            incarnations.0
        ))?;
        self.push(victim, carol).await?;
        let mut moved = Client::connect(self.cluster.node(victim)?.http_addr(), "carol", "phone").await?;
        ensure!(carol.closed().await?.0 == 4001, "the old connection was not superseded");
        print_line(format!("  carol moves back to {name}"))?;
        self.push(0, &mut moved).await?;
        *carol = moved;
        Ok(())
    }

    /// A client that was at a node, is away, and has messages waiting for it there.
    async fn left_at(&mut self, node: usize) -> anyhow::Result<Away> {
        let erin = KeptClient::connect(self.cluster.node(node)?.http_addr(), "erin").await?;
        self.cluster.visible("erin", node).await?;
        let away = erin.lose(0);
        self.cluster.parked("erin").await?;
        for text in numbered(KILLED_PUSHES) {
            self.queue(0, "erin", &text).await?;
        }
        let name = self.cluster.name(node);
        print_line(format!(
            "  erin was at {name} and is away; {KILLED_PUSHES} pushes are queued, and held by other nodes too"
        ))?;
        Ok(away)
    }

    /// What was queued at the node that was killed comes at another one.
    async fn outlives(&mut self, away: Away, killed: Instant) -> anyhow::Result<()> {
        let mut erin = away.back(self.cluster.node(0)?.http_addr()).await?;
        self.arrive("erin", &mut erin, numbered(KILLED_PUSHES)).await?;
        print_line(format!(
            "  erin comes back, to {}: resumed {}, all {KILLED_PUSHES} arrive, {} ms after the kill",
            self.cluster.name(0),
            erin.resumed,
            killed.elapsed().as_millis()
        ))
    }

    /// Pushes to a client that is away.
    async fn queue(&self, via: usize, user: &str, text: &str) -> anyhow::Result<()> {
        let outcome = self.cluster.push(via, user, text).await?.report.best();
        ensure!(outcome == Outcome::Queued, "a push to a client that is away: {}", outcome.as_str());
        Ok(())
    }

    /// All of these arrive at a client that is back, in their order, and it was told so.
    async fn arrive(
        &mut self,
        user: &str,
        client: &mut KeptClient,
        texts: Vec<String>,
    ) -> anyhow::Result<()> {
        ensure!(client.resumed == "complete", "{user} was told {}", client.resumed);
        for (number, text) in (1..).zip(texts) {
            ensure!(
                client.next().await? == (number, text),
                "{user} received something else for message {number}"
            );
            self.delivered += 1;
        }
        Ok(())
    }

    /// Pushes through a node, waits until the client has it, and prints the route and both times.
    async fn push(&mut self, via: usize, client: &mut Client) -> anyhow::Result<()> {
        let text = format!("hello {}, this is {}", client.user(), self.cluster.name(via));
        let pushed = self.cluster.push(via, client.user(), &text).await?;
        let [session] = &pushed.report.sessions[..] else {
            bail!("a push to {} met {} sessions", client.user(), pushed.report.sessions.len());
        };
        ensure!(session.outcome == Outcome::Delivered, "a push to {}: {:?}", client.user(), session.outcome);
        let received =
            timeout(PATIENCE, client.next_text()).await.context("the client did not receive it")??;
        ensure!(received == text, "the client received {received:?} for {text:?}");
        self.delivered += 1;
        let owner = session.node.as_ref().context("a delivered push names its node")?;
        let via = self.cluster.name(via);
        let route =
            if via == owner.as_str() { format!("{via}, local") } else { format!("{via} ─quic→ {owner}") };
        print_line(format!(
            "  push to {:<6} through {via}   {route:<14}  delivered, receipt after {:>5} us",
            client.user(),
            pushed.took.as_micros()
        ))
    }

    fn title(&mut self, text: &str) -> anyhow::Result<()> {
        self.chapter += 1;
        print_line(format!("\n{}. {text}", self.chapter))
    }

    fn invite(&self) -> anyhow::Result<()> {
        let [first, .., last] = &self.cluster.running()[..] else { bail!("the demo has at least two nodes") };
        print_line(format!(
            "\nThe cluster stays up. Try it, in other terminals:\n\n\
             \x20 pushmesh listen --url http://{last} --user 42\n\
             \x20 curl -d 'hello' http://{first}/v1/users/42/push\n\
             \x20 curl http://{first}/v1/users/42\n\
             \x20 pushmesh nodes --url http://{first}\n\n\
             (before `cargo install --path .`, `pushmesh` is target/release/pushmesh)\nCtrl-C ends it.",
            last = last.http_addr(),
            first = first.http_addr(),
        ))
    }
}

fn numbered(pushes: u32) -> Vec<String> {
    (1..=pushes).map(|number| format!("message {number} of {pushes}")).collect()
}

/// Pushes to the client whose node is killed.
const KILLED_PUSHES: u32 = 3;

/// Pushes to the client that is away.
const AWAY_PUSHES: u32 = 10;

/// How long it is away.
const AWAY_FOR: Duration = Duration::from_secs(5);

fn tenths(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}
