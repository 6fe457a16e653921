//! Names that hang, that resolve late, and that lead elsewhere later; the last two with whole nodes on
//! real sockets, whose resolver follows a script.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::config::Config;
use crate::id::NodeName;
use crate::node::Node;
use crate::push::Knowledge;
use crate::wire::Wire;

/// What names lead to; the others are not found, and `hangs:1` never gets an answer.
#[derive(Default)]
struct Script {
    names: Mutex<BTreeMap<String, Vec<SocketAddr>>>,
    asked: AtomicUsize,
}

impl Script {
    fn says(&self, name: &str, addrs: impl IntoIterator<Item = SocketAddr>) {
        self.names.lock().unwrap().insert(name.to_owned(), addrs.into_iter().collect());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Resolver for Script {
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if name == "hangs:1" {
            return pending().await;
        }
        let found = self.names.lock().unwrap().get(name).cloned();
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such name"))
    }
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn seeds(script: &Arc<Script>, peers: &[&str]) -> Seeds {
    let peers: Vec<_> = peers.iter().map(|peer| (*peer).to_owned()).collect();
    Seeds::new(&peers, Arc::clone(script) as Arc<dyn Resolver>)
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_hangs_holds_up_nobody_and_is_made_once_at_a_time() {
    let script = Arc::new(Script::default());
    script.says("two:1", [addr(3), addr(2), addr(3)]);
    let mut seeds = seeds(&script, &["hangs:1", "127.0.0.1:1", "nobody:1", "two:1"]);
    let started = Instant::now();
    let found = seeds.first(limits::INCARNATION_PROBE).await;
    assert_eq!(found, [addr(1), addr(2), addr(3)]);
    assert_eq!(
        started.elapsed(),
        limits::INCARNATION_PROBE,
        "that long it was waited for the one that hangs"
    );
    assert_eq!(script.asked(), 3);
    seeds.ask(Instant::now());
    while let Some((place, found)) = seeds.lookups.next().now_or_never().flatten() {
        seeds.found(place, found);
    }
    assert_eq!(script.asked(), 5, "the one that hangs is not asked for again");
    let (place, late) = seeds.lookups.next().await.unwrap();
    assert_eq!((place, late.unwrap_err().kind()), (0, io::ErrorKind::TimedOut));
    assert_eq!(started.elapsed(), limits::LOOKUP_TIMEOUT);
}

#[test]
fn a_name_that_fails_keeps_the_addresses_that_it_had() {
    let mut seeds = seeds(&Arc::default(), &["a:1"]);
    seeds.found(0, Ok(vec![addr(2), addr(1)]));
    for failed in [Ok(Vec::new()), Err(io::Error::other("the server is down"))] {
        seeds.found(0, failed);
        assert_eq!(seeds.names[0].addrs, [addr(1), addr(2)]);
    }
    seeds.found(0, Ok(vec![addr(3)]));
    assert_eq!(seeds.names[0].addrs, [addr(3)], "pods move");
}

#[tokio::test(start_paused = true)]
async fn names_are_looked_up_the_more_often_the_more_is_missing() {
    let mut seeds = seeds(&Arc::default(), &["a:1"]);
    let now = Instant::now();
    assert!(seeds.is_due(Company::Complete, Company::Complete, now), "never looked up");
    seeds.ask(now);
    for company in [Company::None, Company::Partial, Company::Complete] {
        let due = now + company.lookup_every();
        assert!(!seeds.is_due(company, company, due - Duration::from_millis(1)), "{company:?}");
        assert!(seeds.is_due(company, company, due), "{company:?}");
    }
    assert!(seeds.is_due(Company::Partial, Company::Complete, now), "somebody is lost just now");
    assert!(seeds.is_due(Company::None, Company::Partial, now), "everybody is");
    assert!(!seeds.is_due(Company::Complete, Company::None, now), "all are found");
}

#[test]
fn only_this_nodes_own_address_names_nobody_else() {
    let names_others = |peers: &[&str]| seeds(&Arc::default(), peers).name_others(addr(1));
    assert!(!names_others(&[]));
    assert!(!names_others(&["127.0.0.1:1", "[::ffff:127.0.0.1]:1"]));
    assert!(names_others(&["127.0.0.1:1", "127.0.0.1:2"]));
    assert!(names_others(&["127.0.0.1:1", "itself:1"]), "names may lead elsewhere in a moment");
}

/// A node whose peers are behind these names.
async fn start(name: &str, script: &Arc<Script>, peers: &[&str], change: impl FnOnce(&mut Config)) -> Node {
    let mut config = Config::dev(NodeName::new(name).unwrap());
    config.peers = peers.iter().map(|peer| (*peer).to_owned()).collect();
    change(&mut config);
    let wire = Wire::bind(config.listen, config.mesh_listen).await.unwrap();
    let wire = Wire { resolver: Arc::clone(script) as Arc<dyn Resolver>, ..wire };
    Node::start(config, wire).await.unwrap()
}

/// Waits until it holds, for at most twice what anything here takes.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let mut looks = interval(Duration::from_millis(20));
    let wait = async {
        while !holds() {
            looks.tick().await;
        }
    };
    assert!(timeout(Duration::from_secs(20), wait).await.is_ok(), "{what}: not within 20 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_names_resolve_late_are_not_ready_before_they_have_met() {
    let script = Arc::new(Script::default());
    let [first, second] = [
        start("n1", &script, &["pods:1", "hangs:1"], |_| {}).await,
        start("n2", &script, &["pods:1"], |_| {}).await,
    ];
    // Both asked at their start; that they ask again shows that rounds have passed.
    until("both look again and again", || script.asked() >= 10).await;
    for node in [&first, &second] {
        assert_eq!(node.knowledge(), Knowledge::Joining, "{}", node.name());
    }
    // A headless service: both pods, and one that is dead.
    let nobody = std::net::UdpSocket::bind(addr(0)).unwrap();
    script.says("pods:1", [nobody.local_addr().unwrap(), first.mesh_addr(), second.mesh_addr()]);
    let found = Instant::now();
    for node in [&first, &second] {
        timeout(Duration::from_secs(20), node.ready()).await.unwrap();
        assert_eq!(node.members_alive(), 2, "{}", node.name());
    }
    assert!(found.elapsed() < limits::JOIN_TIMEOUT / 2, "that took {:?}", found.elapsed());
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_back_with_another_address_is_found_by_its_name() {
    let script = Arc::new(Script::default());
    let lost = start("n2", &script, &[], |_| {}).await;
    script.says("pod:1", [lost.mesh_addr()]);
    let node = start("n1", &script, &["pod:1"], |_| {}).await;
    timeout(Duration::from_secs(20), node.ready()).await.unwrap();
    let third = start("n3", &script, &[&node.mesh_addr().to_string()], |_| {}).await;
    until("all three know each other", || node.members_alive() == 3 && third.members_alive() == 3).await;
    drop(lost);
    // It knows nobody, so that it is found or not at all.
    let back = start("n2-again", &script, &[], |_| {}).await;
    script.says("pod:1", [back.mesh_addr()]);
    until("the name is looked up again", || back.members_alive() == 3).await;
    assert_eq!(node.knowledge(), Knowledge::Whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_name_leads_only_to_itself_waits_unless_it_may_be_alone() {
    let script = Arc::new(Script::default());
    let node = start("n1", &script, &["me:1"], |_| {}).await;
    script.says("me:1", [node.mesh_addr()]);
    let alone = start("n2", &script, &["me-too:1"], |config| config.allow_alone = true).await;
    script.says("me-too:1", [alone.mesh_addr()]);
    timeout(Duration::from_secs(20), alone.ready()).await.unwrap();
    assert_eq!((alone.knowledge(), alone.members_alive()), (Knowledge::Whole, 1));
    assert_eq!(node.knowledge(), Knowledge::Joining, "it has waited for as long");
}
