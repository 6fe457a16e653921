//! Closed-loop load on a real cluster: the figures that a promise about delivery stands on.
//!
//! Starts pushmesh processes on loopback, connects WebSocket clients spread over them, and lets
//! workers push one message after the other, always through a node that does not own the client.
//! Every message carries a number, so that what is missing, doubled or out of order is seen at the
//! client itself. Prints rates, latencies, the servers' CPU time for each push and their memory for
//! each client; exits non-zero unless everything was delivered exactly once.
//!
//! `cargo bench --bench closed_loop -- --clients 3000 --workers 32 --seconds 60 --nodes 3`

#![expect(clippy::print_stdout, reason = "the result is a table for people")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

#[path = "support/figures.rs"]
mod figures;
#[path = "support/server.rs"]
mod server;

use figures::percentile;
use server::{Failure, Server, cpu_us};

/// What to run; see `main` for the flags.
#[derive(Debug, Clone, Copy)]
struct Load {
    nodes: usize,
    clients: usize,
    workers: usize,
    seconds: u64,
}

/// Bytes of memory that a server has resident.
fn resident_bytes(server: &Server) -> Result<u64, Failure> {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.pid()))?;
    let pages: u64 = statm.split_whitespace().nth(1).ok_or("an odd /proc/PID/statm")?.parse()?;
    Ok(pages * 4_096)
}

/// CPU time that all servers used so far, in microseconds.
fn cpu_of(servers: &[Server]) -> Result<u64, Failure> {
    servers.iter().map(|server| cpu_us(server.pid())).sum()
}

/// What the clients saw.
#[derive(Default)]
struct Seen {
    received: AtomicU64,
    out_of_order: AtomicU64,
    ended: AtomicU64,
}

async fn client(addr: SocketAddr, user: usize, seen: Arc<Seen>) -> Result<(), Failure> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (mut socket, _) = client_async(format!("ws://{addr}/v1/ws?user=u{user}"), stream).await?;
    tokio::spawn(async move {
        let mut next = 0_u64;
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                // The rest of the payload is padding, to the 128 bytes of a typical notification.
                let number = text.split_whitespace().next().and_then(|number| number.parse().ok());
                if number != Some(next) {
                    seen.out_of_order.fetch_add(1, Ordering::Relaxed);
                }
                next = number.unwrap_or(next) + 1;
                seen.received.fetch_add(1, Ordering::Relaxed);
            }
        }
        seen.ended.fetch_add(1, Ordering::Relaxed);
    });
    Ok(())
}

/// What one worker did.
#[derive(Default)]
struct Work {
    latencies_us: Vec<u32>,
    answers: BTreeMap<String, u64>,
}

type Http = Client<HttpConnector, Full<Bytes>>;

async fn worker(http: Http, targets: Vec<(usize, SocketAddr)>, until: Instant) -> Result<Work, Failure> {
    let mut work = Work::default();
    let mut numbers = vec![0_u64; targets.len()];
    for turn in 0.. {
        if Instant::now() >= until || targets.is_empty() {
            break;
        }
        let slot = turn % targets.len();
        let (user, via) = targets[slot];
        let body = format!("{:<128}", numbers[slot]);
        numbers[slot] += 1;
        let request = Request::post(format!("http://{via}/v1/users/u{user}/push"))
            .body(Full::new(Bytes::from(body)))?;
        let began = Instant::now();
        let response = http.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        work.latencies_us.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        let answer: serde_json::Value = serde_json::from_slice(&body)?;
        let outcome = answer["sessions"][0]["outcome"].as_str().unwrap_or("none");
        *work.answers.entry(format!("{} {outcome}", status.as_u16())).or_default() += 1;
    }
    Ok(work)
}

async fn run(load: Load) -> Result<bool, Failure> {
    let mut servers: Vec<Server> = Vec::new();
    for number in 0..load.nodes {
        let peers: Vec<_> = servers.iter().map(|server| server.mesh).collect();
        let mut server = Server::start(&format!("n{number}"), &peers, &[], Stdio::inherit())?;
        server.ready()?;
        servers.push(server);
    }
    let empty: u64 = servers.iter().map(resident_bytes).sum::<Result<_, _>>()?;
    let seen = Arc::new(Seen::default());
    let connects = (0..load.clients).map(|user| {
        let addr = servers[user % load.nodes].http;
        client(addr, user, Arc::clone(&seen))
    });
    let connected: Vec<_> = futures_util::stream::iter(connects).buffer_unordered(64).collect().await;
    connected.into_iter().collect::<Result<Vec<_>, _>>()?;
    let http: Http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(load.workers).build_http();
    for server in &servers {
        all_visible(&http, server.http, load.clients).await?;
    }
    let full: u64 = servers.iter().map(resident_bytes).sum::<Result<_, _>>()?;
    let cpu_before = cpu_of(&servers)?;

    let began = Instant::now();
    let until = began + Duration::from_secs(load.seconds);
    let workers: Vec<_> = (0..load.workers)
        .map(|number| {
            let targets = (number..load.clients).step_by(load.workers);
            let others = load.nodes.max(2) - 1;
            let targets = targets
                .map(|user| {
                    let via = (user % load.nodes + 1 + user / load.nodes % others) % load.nodes;
                    (user, servers[via].http)
                })
                .collect();
            tokio::spawn(worker(http.clone(), targets, until))
        })
        .collect();
    let mut total = Work::default();
    for worker in workers {
        let work = worker.await??;
        total.latencies_us.extend(work.latencies_us);
        for (answer, count) in work.answers {
            *total.answers.entry(answer).or_default() += count;
        }
    }
    let elapsed = began.elapsed();
    let cpu = cpu_of(&servers)? - cpu_before;
    let pushes = total.latencies_us.len() as u64;
    let deadline = Instant::now() + Duration::from_secs(5);
    while seen.received.load(Ordering::Relaxed) < pushes && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
    Ok(report(load, &seen, total, elapsed, cpu, full.saturating_sub(empty)))
}

async fn all_visible(http: &Http, node: SocketAddr, clients: usize) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let response = http.get(format!("http://{node}/v1/stats").parse()?).await?;
        let stats: serde_json::Value =
            serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
        if stats["sessions"].as_u64() == Some(clients as u64) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{node} sees {} of {clients} sessions", stats["sessions"]).into());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn report(load: Load, seen: &Seen, mut total: Work, elapsed: Duration, cpu_us: u64, resident: u64) -> bool {
    let pushes = total.latencies_us.len();
    total.latencies_us.sort_unstable();
    let percentile = |share| percentile(&total.latencies_us, share);
    let received = seen.received.load(Ordering::Relaxed);
    let odd = seen.out_of_order.load(Ordering::Relaxed);
    let ended = seen.ended.load(Ordering::Relaxed);
    let delivered = total.answers.get("200 delivered").copied().unwrap_or(0);
    println!("{load:?}");
    println!("pushes                     {pushes}");
    println!("answers                    {:?}", total.answers);
    println!("received by clients        {received}");
    println!("missing, doubled, disordered  {odd}");
    println!("connections lost           {ended}");
    println!("pushes a second            {:.0}", pushes as f64 / elapsed.as_secs_f64());
    println!("latency p50/p99/p99.9, us  {} / {} / {}", percentile(0.5), percentile(0.99), percentile(0.999));
    println!("server CPU a push, us      {:.1}", cpu_us as f64 / pushes.max(1) as f64);
    println!("resident bytes a client    {}", resident / load.clients.max(1) as u64);
    let pushes = pushes as u64;
    pushes > 0 && delivered == pushes && received == pushes && odd == 0 && ended == 0
}

fn main() -> ExitCode {
    let mut load = Load { nodes: 3, clients: 3_000, workers: 32, seconds: 60 };
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(flag) = args.next() {
        let value = args.next().and_then(|value| value.parse::<usize>().ok());
        match (flag.as_str(), value) {
            ("--nodes", Some(value)) if value > 0 => load.nodes = value,
            ("--clients", Some(value)) => load.clients = value,
            ("--workers", Some(value)) => load.workers = value,
            ("--seconds", Some(value)) => load.seconds = value as u64,
            _ => {
                eprintln!("usage: closed_loop [--nodes N] [--clients N] [--workers N] [--seconds N]");
                return ExitCode::from(2);
            }
        }
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts on a machine that builds");
    match runtime.block_on(run(load)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("not everything was delivered exactly once");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
