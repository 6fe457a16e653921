//! One cluster of one system, from its start through all parts to its end.

use std::time::Duration;

use crate::envelope::Dialect;
use crate::figure::{Copying, Figure, Samples};
use crate::figures::percentile;
use crate::load::{Load, Used, used};
use crate::options::{Options, Part};
use crate::server::Failure;
use crate::storm;
use crate::system::{Cluster, Setup, System};
use crate::tls;

/// Measures a system on so many nodes.
///
/// # Errors
/// A message was lost, doubled or out of order, or a process ended.
pub(crate) async fn run(
    options: &Options,
    round: usize,
    system: System,
    nodes: usize,
    samples: &mut Samples,
) -> Result<(), Failure> {
    let mut add = |figure, value| samples.add(figure, nodes, system, value);
    if nodes == options.nodes[0] && options.has(Part::Stored) && has_stored(system) {
        stored(options, system, nodes, &mut add).await?;
    }
    // It is there for that part alone.
    if system.is_jetstream() {
        return Ok(());
    }
    let cluster = Cluster::start(system, options.setup(nodes)).await?;
    let empty = cluster.resident_bytes()?;
    let mut load = Load::connect(&cluster, options.clients, options.workers, Dialect::Plain).await?;
    let full = cluster.resident_bytes()?;
    add(Figure::IdleBytes, full.saturating_sub(empty) as f64 / options.clients as f64);

    // Caches, connections and windows are what they will be. Not measured.
    load.closed(WARM_UP, options.bytes).await?;
    if options.has(Part::Closed) {
        let used = used(&cluster, load.closed(options.seconds, options.bytes)).await?;
        add(Figure::ClosedRate, used.messages() / used.seconds);
        add(Figure::ClosedCpu, used.cpu_us / used.messages());
    }
    if options.has(Part::Paced) {
        let used = used(&cluster, load.paced(options.rate, options.seconds, options.bytes)).await?;
        add(Figure::PacedP50, latency(&used, 0.5));
        add(Figure::PacedP99, latency(&used, 0.99));
        add(Figure::PacedP999, latency(&used, 0.999));
        add(Figure::PacedCpu, used.cpu_us / used.messages());
    }
    // One number of nodes is enough for what follows.
    if nodes == options.nodes[0] {
        once(options, &cluster, &mut load, &mut add).await?;
    }
    load.check()?;
    drop((load, cluster));
    if options.has(Part::Many) {
        let used = many(options, system, nodes).await?;
        add(Figure::ManyRate, used.messages() / used.seconds);
        add(Figure::ManyCpu, used.cpu_us / used.messages());
    }
    // The others have no such sessions.
    if nodes == options.nodes[0] && options.has(Part::Kept) && system == System::Pushmesh {
        kept(options, nodes, &mut add).await?;
    }
    if nodes == options.nodes[0] && options.has(Part::Copies) && system == System::Pushmesh {
        let mut turns: Vec<_> = copyings(options).collect();
        if round.is_multiple_of(2) {
            turns.reverse(); // Nobody is always the first of a round.
        }
        for copying in turns {
            copied(options, nodes, copying, &mut add).await?;
        }
    }
    // The users of a NATS cluster subscribe to one subject each, and do not come back by themselves.
    if nodes == options.nodes[0] && options.has(Part::Storm) && system != System::Nats {
        let storm = storm::run(options, system, nodes, Dialect::Plain).await?;
        add(Figure::StormReached, milliseconds(storm.reached));
        add(Figure::StormLost, storm.lost as f64);
    }
    if nodes == options.nodes[0] && options.has(Part::Storm) && system == System::Pushmesh {
        let storm = storm::run(options, system, nodes, Dialect::Kept).await?;
        add(Figure::KeptStormReached, milliseconds(storm.reached));
        add(Figure::KeptStormBeyond, milliseconds(storm.reached.saturating_sub(storm.dialled)));
        add(Figure::KeptStormComplete, storm.complete);
        add(Figure::KeptStormLost, storm.lost as f64);
    }
    if nodes == options.nodes[0] && options.has(Part::Tls) && system == System::Pushmesh {
        add(Figure::IdleTlsBytes, tls::idle_bytes(options.clients, nodes, options.threads).await?);
    }
    Ok(())
}

async fn once(
    options: &Options,
    cluster: &Cluster,
    load: &mut Load,
    add: &mut impl FnMut(Figure, f64),
) -> Result<(), Failure> {
    if options.has(Part::Payload) {
        for (figure, bytes) in [(Figure::Cpu10KiB, 10 * 1_024), (Figure::Cpu100KiB, 100 * 1_024)] {
            let used = used(cluster, load.closed(options.seconds, bytes)).await?;
            add(figure, used.cpu_us / used.messages());
        }
    }
    // The others have no such call.
    if options.has(Part::Batch) && cluster.system == System::Pushmesh {
        let used = used(cluster, load.batches(options.seconds, options.lines, options.bytes)).await?;
        add(Figure::BatchCpu, used.cpu_us / used.messages());
        add(Figure::BatchRate, used.messages() / used.seconds);
    }
    if options.has(Part::Broadcast) && cluster.system != System::Nats {
        load.join(cluster, options.listeners).await?;
        let used = used(cluster, load.broadcasts(BROADCASTS, options.bytes)).await?;
        add(Figure::BroadcastCpu, used.cpu_us / used.messages());
        add(Figure::BroadcastP99, latency(&used, 0.99));
    }
    Ok(())
}

/// The closed loop with more pushes in progress, on a cluster of its own.
async fn many(options: &Options, system: System, nodes: usize) -> Result<Used, Failure> {
    let cluster = Cluster::start(system, options.setup(nodes)).await?;
    let mut load = Load::connect(&cluster, options.clients, options.many, Dialect::Plain).await?;
    load.closed(WARM_UP, options.bytes).await?;
    let used = used(&cluster, load.closed(options.seconds, options.bytes)).await?;
    load.check()?;
    Ok(used)
}

/// What it costs that sessions are kept: the same to clients whose sessions are not and whose are, each on a cluster of its own.
async fn kept(options: &Options, nodes: usize, add: &mut impl FnMut(Figure, f64)) -> Result<(), Failure> {
    let figures = [
        (Dialect::Envelopes, Figure::EnvelopeIdleBytes, Figure::EnvelopeCpu, Figure::EnvelopeBatchCpu),
        (Dialect::Kept, Figure::KeptIdleBytes, Figure::KeptCpu, Figure::KeptBatchCpu),
    ];
    for (dialect, idle, single, batch) in figures {
        let cluster = Cluster::start(System::Pushmesh, options.setup(nodes)).await?;
        let empty = cluster.resident_bytes()?;
        let mut load = Load::connect(&cluster, options.clients, options.workers, dialect).await?;
        let full = cluster.resident_bytes()?;
        add(idle, full.saturating_sub(empty) as f64 / options.clients as f64);
        load.closed(WARM_UP, options.bytes).await?;
        let closed = used(&cluster, load.closed(options.seconds, options.bytes)).await?;
        add(single, closed.cpu_us / closed.messages());
        let batches = used(&cluster, load.batches(options.seconds, options.lines, options.bytes)).await?;
        add(batch, batches.cpu_us / batches.messages());
        load.check()?;
    }
    Ok(())
}

/// What is measured in the part with copies.
pub(crate) fn copyings(options: &Options) -> impl Iterator<Item = Copying> {
    [Copying::Off].into_iter().chain(options.copied_after.iter().copied().map(Copying::After))
}

/// Pushes with receipts to clients whose sessions are kept and who acknowledge in time, on a cluster that copies so.
async fn copied(
    options: &Options,
    nodes: usize,
    copying: Copying,
    add: &mut impl FnMut(Figure, f64),
) -> Result<(), Failure> {
    // Without copies the time has no effect: so all nodes are the same program.
    let (copies, after) = match copying {
        Copying::Off => (0, 0),
        Copying::After(after) => (nodes.saturating_sub(1).min(2), after),
    };
    let flags = ["--copies".to_owned(), copies.to_string()];
    let setup = Setup { flags: &flags, copied_after: Some(after), ..options.setup(nodes) };
    let cluster = Cluster::start(System::Pushmesh, setup).await?;
    let mut load = Load::connect(&cluster, options.clients, options.workers, Dialect::Kept).await?;
    load.closed(WARM_UP, options.bytes).await?;
    let closed = used(&cluster, load.closed(options.seconds, options.bytes)).await?;
    add(Figure::CopyingClosedCpu(copying), closed.cpu_us / closed.messages());
    let paced = used(&cluster, load.paced(options.rate, options.seconds, options.bytes)).await?;
    add(Figure::CopyingPacedCpu(copying), paced.cpu_us / paced.messages());
    load.check()
}

/// Pushes whose publishers wait until another server has them, each for a user that another server has.
async fn stored(
    options: &Options,
    system: System,
    nodes: usize,
    add: &mut impl FnMut(Figure, f64),
) -> Result<(), Failure> {
    let flags = ["--copies", "2"].map(str::to_owned);
    let cluster = Cluster::start(system, Setup { flags: &flags, ..options.setup(nodes) }).await?;
    // The others have one.
    let dialect = if system == System::Pushmesh { Dialect::Stored } else { Dialect::Plain };
    let mut load = Load::connect(&cluster, options.clients, options.workers, dialect).await?;
    load.paced(options.rate, WARM_UP, options.bytes).await?;
    load.take_answers();
    let used = used(&cluster, load.paced(options.rate, options.seconds, options.bytes)).await?;
    let answers = load.take_answers();
    add(Figure::StoredP50, f64::from(percentile(&answers.after_us, 0.5)));
    add(Figure::StoredP99, f64::from(percentile(&answers.after_us, 0.99)));
    add(Figure::StoredCpu, used.cpu_us / used.messages());
    add(Figure::StoredArrivedP50, latency(&used, 0.5));
    add(Figure::StoredAcknowledged, answers.acknowledged as f64 * 100.0 / used.messages());
    add(Figure::StoredThreads, cluster.threads()? as f64 / nodes as f64);
    load.check()
}

/// Whether publishers of that system are told that a push is stored.
fn has_stored(system: System) -> bool {
    system == System::Pushmesh || system.is_jetstream()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn latency(used: &Used, share: f64) -> f64 {
    f64::from(percentile(&used.latencies_us, share))
}

const WARM_UP: Duration = Duration::from_secs(1);
/// Enough for a figure of CPU time, which the kernel counts in hundredths of a second.
const BROADCASTS: usize = 50;
