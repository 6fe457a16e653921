//! Pushmesh beside the usual solutions: servers that publish every push to Redis, where all of them
//! receive it and one delivers, and a cluster of NATS.
//!
//! They run as processes on loopback, under the same load, in turn. Every message carries a number, so
//! that one which is missing, doubled or out of order fails the bench. Latency is the time from the
//! request until the message is at the client; CPU time is that of all server processes, Redis
//! included. What the machine does to one system it does to the other: ratios are steadier than
//! figures. The nodes of pushmesh log to `target/tmp/cluster/`.
//!
//! `cargo bench --bench cluster`
//! `cargo bench --bench cluster -- --nodes 3 --rounds 1 --threads 1 --parts closed,paced`

#![expect(clippy::print_stdout, reason = "the result is a table for people")]

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

#[path = "cluster/api.rs"]
mod api;
#[path = "cluster/backend.rs"]
mod backend;
#[path = "cluster/chart.rs"]
mod chart;
#[path = "cluster/client.rs"]
mod client;
#[path = "support/dial.rs"]
mod dial;
#[path = "cluster/envelope.rs"]
mod envelope;
#[path = "cluster/fanout.rs"]
mod fanout;
#[path = "cluster/figure.rs"]
mod figure;
#[path = "support/figures.rs"]
mod figures;
#[path = "cluster/goal.rs"]
mod goal;
#[path = "cluster/jetstream.rs"]
mod jetstream;
#[path = "cluster/load.rs"]
mod load;
#[path = "cluster/machine.rs"]
mod machine;
#[path = "cluster/message.rs"]
mod message;
#[path = "cluster/nats.rs"]
mod nats;
#[path = "cluster/nats_protocol.rs"]
mod nats_protocol;
#[path = "cluster/options.rs"]
mod options;
#[path = "cluster/prober.rs"]
mod prober;
#[path = "support/process.rs"]
mod process;
#[path = "cluster/redis.rs"]
mod redis;
#[path = "cluster/report.rs"]
mod report;
#[path = "cluster/resuming.rs"]
mod resuming;
#[path = "cluster/round.rs"]
mod round;
#[path = "support/server.rs"]
mod server;
#[path = "cluster/storm.rs"]
mod storm;
#[path = "cluster/system.rs"]
mod system;
#[path = "cluster/tls.rs"]
mod tls;
#[path = "cluster/tuned.rs"]
mod tuned;
#[path = "support/upgrade.rs"]
mod upgrade;
#[path = "cluster/worker.rs"]
mod worker;

use figure::Samples;
use machine::Machine;
use nats::Nats;
use options::Options;
use redis::Redis;
use server::Failure;
use system::System;
use tuned::Tuned;

/// Measures everything and prints it.
async fn compare(mut options: Options) -> Result<(), Failure> {
    options.check()?;
    for (program, version, hint) in
        [(&[System::Redis][..], Redis::version(), Redis::HINT), (&OF_NATS, Nats::version(), Nats::HINT)]
    {
        if version.is_none() && options.systems.iter().any(|system| program.contains(system)) {
            eprintln!("{hint}");
            options.systems.retain(|system| !program.contains(system));
        }
    }
    let mut samples = Samples::default();
    for round in 1..=options.rounds {
        for nodes in &options.nodes {
            for system in &options.systems {
                eprintln!("round {round} of {}: {system:?}, {nodes} nodes", options.rounds);
                let measured = round::run(&options, round, *system, *nodes, &mut samples).await;
                measured.map_err(|error| format!("{system:?} on {nodes} nodes: {error}"))?;
            }
        }
    }
    let machine = Machine::here(&options);
    let table = report::table(&options, &machine, &samples);
    println!("{table}");
    if let Some(out) = &options.out {
        std::fs::create_dir_all(out)?;
        let write = |name: &str, text: &str| std::fs::write(Path::new(out).join(name), text);
        write("cluster.txt", &table)?;
        write("cluster.json", &format!("{:#}\n", report::json(&options, &machine, &samples)))?;
        write("cluster.svg", &chart::svg(&samples, &options.nodes))?;
    }
    Ok(())
}

/// Those that need `nats-server`.
const OF_NATS: [System; 3] = [System::Nats, System::Jetstream, System::JetstreamCore];

/// Does what the command line says.
fn run() -> Result<(), Failure> {
    if std::env::args().nth(1).as_deref() == Some(Tuned::COMMAND) {
        return Tuned::parse_from(std::env::args().skip(1)).serve();
    }
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    match options.fanout {
        Some(redis) => runtime.block_on(fanout::serve(redis)),
        None => runtime.block_on(compare(options)),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
