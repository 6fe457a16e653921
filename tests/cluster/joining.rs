//! A node joins: it answers for every session that was there before it says that it is ready.

use std::net::UdpSocket;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rustls::RootCertStore;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{
    Cluster, Gate, Http, Launch, Process, alone, eventually, pushmesh, same, unique, within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_ten_thousand_sessions_knows_all_of_them_when_it_is_ready() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(3).await;
    let connects = (0..SESSIONS).map(|n| {
        let node = cluster.node(n % 3);
        async move { node.connect(&format!("u{n}"), Some("d")).await }
    });
    let mut clients: Vec<_> = stream::iter(connects).buffered(64).collect().await;
    cluster.counts(SESSIONS as u64).await;

    let joined = cluster.add().await;
    let node = cluster.node(joined);
    let mut refused = 0;
    within("the node is ready", async {
        loop {
            let answer = node.get("/readyz").await;
            if answer.status == 200 {
                break;
            }
            assert_eq!(answer.error(), (503, "not_ready"));
            refused += 1;
        }
    })
    .await;
    let stats = node.stats().await;
    assert_eq!((&stats["sessions"], &stats["users"]), (&json!(SESSIONS), &json!(SESSIONS)));
    assert_eq!(stats["self"], "n4");
    let by_node = stats["nodes"].as_array().expect("stats list nodes");
    for (name, expected) in [("n1", 3_334), ("n2", 3_333), ("n3", 3_333)] {
        let found = by_node.iter().find(|entry| entry["node"] == name).expect("every owner is listed");
        assert_eq!(found["sessions"], expected, "{name}");
    }
    node.ready().await;
    assert!(refused > 0, "a node with peers is not ready before it has met them");
    for n in (0..SESSIONS).step_by(97) {
        let answer = node.push(&format!("u{n}"), &n.to_string()).await;
        let expected = json!([{ "device": "d", "node": format!("n{}", n % 3 + 1), "outcome": "delivered" }]);
        assert_eq!((answer.status, &answer.json["sessions"]), (200, &expected), "{answer:?}");
        assert_eq!(clients[n].next_text().await, n.to_string());
    }
    let answer = node.post("/v1/broadcast?wait=none", "all").await;
    assert_eq!(answer.status, 202);
    for client in &mut clients {
        assert_eq!(client.next_text().await, "all");
    }
}

#[tokio::test]
async fn a_node_is_not_ready_while_the_sessions_of_one_member_are_missing() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(3).await;
    let mut clients = Vec::new();
    for n in 0..30 {
        clients.push(cluster.node(n % 3).connect(&format!("u{n}"), None).await);
    }
    cluster.counts(30).await;
    // For less time than makes it suspect: the others tell of it as a member that is alive.
    cluster.node(2).process.signal("STOP");
    let joined = cluster.add().await;
    let node = cluster.node(joined);
    for user in ["u27", "u28"] {
        eventually("the other sections are here", async || {
            let answer = node.get(&format!("/v1/users/{user}")).await;
            same((answer.status, answer.json["silent"].clone()), (200, json!(["n3"]))).map(|_| ())
        })
        .await;
    }
    let watched = Instant::now();
    while watched.elapsed() < OBSERVATION {
        // Every round of the overlay would be an occasion to call it ready; a few pass meanwhile.
        assert_eq!(node.get("/readyz").await.error(), (503, "not_ready"), "ten sessions are missing");
        assert_eq!(node.push("u29", "x").await.error(), (503, "not_ready"), "this is one of them");
        tokio::time::sleep(OBSERVATION / 50).await; // Not to ask without a pause.
    }
    cluster.node(2).process.signal("CONT");
    node.ready().await;
    assert_eq!(node.stats().await["sessions"], 30);
}

#[tokio::test]
async fn a_node_that_joins_delivers_what_it_knows_and_does_not_guess_about_the_rest() {
    let _alone = alone().await;
    let cluster = unique();
    let first = Launch::dev(&cluster, "n1").start().await;
    first.ready().await;
    let mut near = first.connect("near", Some("d")).await;
    let node = Launch::dev(&cluster, "n2").flags(["--expect", "3"]).peers([&first]).start().await;
    eventually("what there is", async || same(node.get("/v1/users/near").await.status, 200)).await;

    let near_is_online = node.get("/v1/users/near").await.json;
    assert_eq!(
        (&near_is_online["state"], &near_is_online["sessions"][0]["node"]),
        (&json!("online"), &json!("n1"))
    );
    for (method, path) in UNKNOWN {
        let answer = node.http.call(method, path, &[], "x").await;
        assert_eq!(answer.error(), (503, "not_ready"), "{method} {path}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{method} {path}");
    }
    let lines = "{\"to\":{\"user\":\"far\"},\"data\":1}\n{\"to\":{\"user\":\"near\"},\"data\":\"line\"}\n\
                 {\"to\":\"all\",\"data\":1}\n";
    let answer = node.post("/v1/push", lines).await.text();
    let answers: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [not_found, found, to_all] = &answers[..] else { panic!("three lines: {answer}") };
    assert_eq!((&not_found["outcome"], &not_found["sessions"]), (&json!("not_ready"), &json!([])));
    assert_eq!(found["outcome"], "delivered", "{found}");
    assert_eq!(to_all["error"]["code"], "not_ready", "{to_all}");
    assert_eq!(node.push("near", "hello").await.json["delivered"], 1);
    assert_eq!((near.next_text().await, near.next_text().await), ("line".to_owned(), "hello".to_owned()));
    let url = format!("http://{}", node.addr);
    let pushed = pushmesh(&["push", "--url", &url, "--to", "user/far", "x"]).await;
    assert!(pushed.code == 4 && pushed.stderr.contains("not_ready"), "{pushed:?}");
    let explained = pushmesh(&["explain", "--url", &url, "user/far"]).await;
    assert!(explained.code == 3 && explained.stdout.contains(", joining"), "{explained:?}");
    assert_eq!(node.metric("pushmesh_pushes_total{outcome=\"not_ready\"}").await, Some(4.0));

    let third = Launch::dev(&cluster, "n3").peers([&first]).start().await;
    node.ready().await;
    third.ready().await;
    for (method, path) in UNKNOWN {
        let answer = node.http.call(method, path, &[], "x").await;
        let finds_nobody = path.contains("/far") && method != "GET";
        assert_eq!(answer.status == 404, finds_nobody, "{method} {path}: {answer:?}");
        assert!(finds_nobody || answer.status < 300, "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_node_whose_peers_are_silent_takes_no_clients_until_it_starts_alone() {
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a port can be had");
    let silent = nobody.local_addr().expect("it has an address").to_string();
    let started = Instant::now();
    let node = Launch::dev(&unique(), "n1").flags(["--join-timeout", "4s", "--peer", &silent]).start().await;
    let not_ready = node.get("/readyz").await;
    let refused = node.dial().user("u").refused().await;
    assert_eq!(not_ready.error(), (503, "not_ready"));
    assert!(not_ready.text().contains("joining"), "{not_ready:?}");
    assert_eq!(refused.error(), (503, "not_ready"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(node.get("/livez").await.status, 200, "it is alive all the same");
    node.ready().await;
    assert!(started.elapsed() >= Duration::from_secs(4), "it gave its peers the time that it was told");
    node.process.says("none of the peers answers").await;
    assert_eq!(node.get("/readyz").await.status, 200);
    let _client = node.connect("u", None).await;
}

#[tokio::test]
async fn a_node_that_may_be_alone_does_not_wait_for_the_join_timeout() {
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a port can be had");
    let silent = nobody.local_addr().expect("it has an address").to_string();
    let started = Instant::now();
    let node = Launch::dev(&unique(), "n1").flags(["--allow-alone", "--peer", &silent]).start().await;
    assert_eq!(node.get("/readyz").await.error(), (503, "not_ready"));
    node.ready().await;
    assert!(started.elapsed() >= ALONE_AFTER, "it gave its peers some time to answer");
}

#[tokio::test]
async fn a_node_whose_only_peer_is_itself_is_the_first_one() {
    let gate = Gate::open().await;
    let own = gate.addr.to_string();
    let node = Launch::dev(&unique(), "n1").behind(gate).flags(["--peer", &own]).start().await;
    node.ready().await;
    assert!(!node.process.stderr().contains("none of the peers answers"), "{}", node.process.stderr());
}

#[tokio::test]
async fn nodes_that_start_long_after_each_other_are_not_ready_before_they_have_met() {
    let cluster = unique();
    let gate = Gate::open().await;
    let peer = format!("localhost:{}", gate.addr.port());
    let first = Launch::dev(&cluster, "n1").flags(["--peer", &peer]).start().await;
    // One a second: by then a node that may be alone would be ready.
    eventually("look-ups", async || {
        let found = first.metric("pushmesh_peer_lookups_total{result=\"found\"}").await;
        if found >= Some(5.0) { Ok(()) } else { Err(found) }
    })
    .await;
    assert_eq!(first.get("/readyz").await.error(), (503, "not_ready"));
    assert_eq!(first.push("u", "x").await.error(), (503, "not_ready"));
    let second = Launch::dev(&cluster, "n2").behind(gate).start().await;
    first.ready().await;
    second.ready().await;
    let mut client = second.connect("u", Some("d")).await;
    first.shows("u", &[("d", "n2")]).await;
    assert_eq!(first.push("u", "hello").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "hello");
}

#[tokio::test]
async fn a_node_is_not_ready_before_as_many_members_are_there_as_it_expects() {
    let cluster = unique();
    let expects = |name| Launch::dev(&cluster, name).flags(["--expect", "3", "--join-timeout", "1s"]);
    let first = expects("n1").start().await;
    let second = expects("n2").peers([&first]).start().await;
    first.sees_as("n2", "alive").await;
    second.sees_as("n1", "alive").await;
    eventually("a word about it", async || {
        let log = second.process.stderr();
        if log.contains("fewer members than --expect") { Ok(()) } else { Err(log) }
    })
    .await;
    for node in [&first, &second] {
        assert_eq!(node.get("/readyz").await.error(), (503, "not_ready"), "{}", node.name);
        assert_eq!(node.dial().user("u").refused().await.error(), (503, "not_ready"), "{}", node.name);
        assert_eq!(node.push("u", "x").await.error(), (503, "not_ready"), "{}", node.name);
    }
    // This one expects nobody, and has everybody.
    let third = Launch::dev(&cluster, "n3").peers([&second]).start().await;
    for node in [&third, &first, &second] {
        node.ready().await;
    }
    third.process.kill();
    first.sees_as("n3", "dead").await;
    assert_eq!(first.get("/readyz").await.status, 200, "who is ready stays so");
}

#[tokio::test]
async fn peers_may_be_named_by_dns() {
    let cluster = unique();
    let first = Launch::dev(&cluster, "n1").start().await;
    first.ready().await;
    let peer = format!("localhost:{}", first.mesh.port());
    let second = Launch::dev(&cluster, "n2").flags(["--peer", &peer]).start().await;
    second.ready().await;
    let mut client = first.connect("u", Some("d")).await;
    second.shows("u", &[("d", "n1")]).await;
    assert_eq!(second.push("u", "found you").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "found you");
}

#[tokio::test]
async fn a_node_that_knows_one_peer_finds_the_others() {
    let cluster = unique();
    let first = Launch::dev(&cluster, "n1").start().await;
    let second = Launch::dev(&cluster, "n2").peers([&first]).start().await;
    let third = Launch::dev(&cluster, "n3").peers([&second]).start().await;
    let mut client = first.connect("u", Some("d")).await;
    third.ready().await;
    third.shows("u", &[("d", "n1")]).await;
    assert_eq!(third.push("u", "hello").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "hello");
}

/// Calls about what a node does not find while it joins; the user `far` is nowhere.
const UNKNOWN: [(&str, &str); 8] = [
    ("POST", "/v1/users/far/push"),
    ("POST", "/v1/users/far/devices/d/push"),
    ("POST", "/v1/broadcast"),
    ("POST", "/v1/broadcast?wait=none"),
    ("GET", "/v1/users/far"),
    ("GET", "/v1/sessions"),
    ("GET", "/v1/stats"),
    ("DELETE", "/v1/users/far"),
];
/// Sessions in the cluster that is joined.
const SESSIONS: usize = 10_000;
/// How long a node is watched that must not become ready: three rounds of its overlay. This is the
/// one thing that has no condition to wait for, because nothing is to happen.
const OBSERVATION: Duration = Duration::from_millis(600);
/// How long a node that may be alone waits for its peers; documented.
const ALONE_AFTER: Duration = Duration::from_secs(3);

#[tokio::test]
async fn probes_are_answered_while_the_node_still_asks_its_peers_who_it_was() {
    let _alone = alone().await;
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a port can be had");
    let silent = nobody.local_addr().expect("it has an address").to_string();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port can be had");
    let addr = free.local_addr().expect("it has an address").to_string();
    drop(free);
    let (cluster, mesh) = (unique(), "127.0.0.1:0");
    let process = Process::start(
        &[
            "node",
            "--dev",
            "--cluster",
            &cluster,
            "--name",
            "n1",
            "--mesh-listen",
            mesh,
            "--listen",
            &addr,
            "--allow-alone",
            "--peer",
            &silent,
        ],
        &[],
    );
    let http = Http::new(format!("http://{addr}"), None, RootCertStore::empty());
    let live =
        eventually("a probe is answered", async || http.try_call("GET", "/livez", &[], "").await).await;
    let ready = http.call("GET", "/readyz", &[], "").await;
    let push = http.call("POST", "/v1/users/u/push", &[], "x").await;
    assert_eq!(process.stdout(), "", "the node has not said where it listens");
    assert_eq!((live.status, live.text()), (200, "ok".to_owned()));
    assert_eq!((ready.error(), &ready.json["phase"]), ((503, "not_ready"), &json!("joining")));
    assert_eq!((push.error(), push.header("retry-after")), ((503, "not_ready"), Some("1")));
    eventually("the node serves", async || {
        let answer = http.call("POST", "/v1/users/u/push", &[], "x").await;
        if answer.status == 404 { Ok(()) } else { Err(answer) }
    })
    .await;
}
