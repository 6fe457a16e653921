//! A boot that turns out to be below a former one of its name, and the one after it in the same process.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::harness::{LOOK_EVERY, until, within};
use super::{name, pair};
use crate::config::{Config, Takeover};
use crate::id::{ClusterName, Incarnation};
use crate::membership::incarnation;
use crate::node::readiness::Ready;
use crate::node::{Fault, Node, StartError};
use crate::wire::{Clock, TcpFace, Wire};

/// A clock that was set back.
struct SetBack;

impl Clock for SetBack {
    fn now_ms(&self) -> u64 {
        1_000
    }
}

/// When a node's process starts, by that clock: its incarnation, unless something is ahead of it.
const STARTS: RangeInclusive<u64> = 1_000..=1_000 + *incarnation::SPREAD.end();

/// Starts a node whose clock was set back, once the addresses of the boot before it are free.
async fn start(config: Config) -> Node {
    let bound = async {
        loop {
            match Wire::bind(config.listen, config.mesh_listen).await {
                Ok(wire) => break wire,
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    };
    let wire = Wire { clock: Arc::new(SetBack), ..within("free addresses", bound).await };
    Node::start(config, wire).await.unwrap()
}

#[tokio::test]
async fn a_node_that_is_told_of_its_former_boot_while_it_joins_begins_again_above_it() {
    let [a, b] = pair("begins-again").await;
    let (former, mesh) = (b.incarnation(), b.mesh_addr());
    until("b is known", || a.members_alive() == 2).await;
    drop(b);
    // Nobody answers there, so that nobody is asked who remembers.
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let config = Config {
        cluster: ClusterName::new("begins-again").unwrap(),
        takeover: Takeover::RejectNewer,
        mesh_listen: mesh,
        peers: vec![silent.local_addr().unwrap().to_string()],
        ..Config::dev(name("b"))
    };
    let early = start(config).await;
    assert!(STARTS.contains(&early.incarnation().0), "{}", early.incarnation());
    assert!(early.again().is_none(), "nothing is wrong yet");
    // a dials the address of the former one, and refuses the one that it finds there.
    assert_eq!(within("a fault", early.failed()).await, Fault::Superseded { known: former });
    let next = early.again().expect("it has not joined");
    assert_eq!((next.listen, next.mesh_listen), (early.http_addr(), mesh));
    early.shutdown().await;
    let later = start(next).await;
    assert!(later.incarnation() > former, "{} is above {former}", later.incarnation());
    within("ready", later.ready()).await;
    until("a sees it", || a.members_alive() == 2).await;
    assert_eq!(later.shared.vitals.fault(), None);
}

#[tokio::test]
async fn a_node_that_has_served_clients_does_not_begin_again() {
    let [a, b] = pair("does-not-begin-again").await;
    let known = Incarnation(b.incarnation().0 + 1);
    b.shared.vitals.fail(Fault::Superseded { known });
    assert!(b.again().is_none(), "another process runs under its name");
    drop(a);
}

#[tokio::test]
async fn a_node_with_a_fault_does_not_become_ready() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let peers = vec![silent.local_addr().unwrap().to_string()];
    let node = start(Config { peers, ..Config::dev(name("n")) }).await;
    node.shared.vitals.fail(Fault::Superseded { known: Incarnation(*STARTS.end() + 1) });
    assert!(!node.shared.may_be_ready(&Ready::Complete));
    assert!(node.again().is_some());
}

#[tokio::test]
async fn of_two_processes_of_one_name_that_start_in_the_same_moment_one_stays() {
    // What they draw is given: once in a thousand times two draw the same.
    let wire = async |seed| Wire { clock: Arc::new(SetBack), seed: [seed; 32], ..bound().await };
    let (one, other) = (wire(1).await, wire(2).await);
    let config = |peer: &Wire<_>| Config {
        cluster: ClusterName::new("same-moment").unwrap(),
        peers: vec![peer.mesh_addr().unwrap().to_string()],
        ..Config::dev(name("n"))
    };
    let configs = (config(&other), config(&one));
    let nodes = tokio::join!(Node::start(configs.0, one), Node::start(configs.1, other));
    let (one, other) = match nodes {
        (Ok(one), Ok(other)) => (one, other),
        // It was late enough to be told.
        (Ok(_), Err(StartError::NameTaken { .. })) | (Err(StartError::NameTaken { .. }), Ok(_)) => return,
        (one, other) => panic!("{:?} and {:?}", one.err(), other.err()),
    };
    let [earlier, later] = if one.incarnation() < other.incarnation() { [one, other] } else { [other, one] };
    let known = later.incarnation();
    assert_eq!(within("a fault", earlier.failed()).await, Fault::Superseded { known });
    assert_eq!(later.shared.vitals.fault(), None);
}

/// Sockets at any addresses.
async fn bound() -> Wire<TcpFace> {
    let config = Config::dev(name("n"));
    Wire::bind(config.listen, config.mesh_listen).await.unwrap()
}
