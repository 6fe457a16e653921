//! Deterministic cluster simulation: the shipped node on a simulated network, clock and seed.
//!
//! Nothing is simulated yet; this package keeps its place. What comes here runs several
//! [`pushmesh::Node`]s and their clients in one process on simulated UDP and TCP, through the
//! [`pushmesh::Wire`] that production uses too. One seed decides every choice. A safety phase
//! crashes, partitions, delays and drops, and checks after every event that no push is reported
//! delivered that was not and that no session has two survivors; a liveness phase heals the network
//! and waits until all nodes agree. A failure prints the one line that repeats it.

use std::process::ExitCode;

use pushmesh::{Node, Wire};

fn main() -> ExitCode {
    let [node, wire] = [std::any::type_name::<Node>(), std::any::type_name::<Wire<()>>()];
    eprintln!(
        "simulations: not written yet. They will run {node} over a simulated {wire}; nothing was checked."
    );
    ExitCode::FAILURE
}
