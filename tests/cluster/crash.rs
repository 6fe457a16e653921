//! A node that dies without a word, and its return.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::harness::{Answer, Cluster, Launch, Node, SLACK, alone, eventually, pushmesh, unique};

#[tokio::test]
async fn the_sessions_of_a_killed_node_are_gone_within_seven_seconds_and_no_push_hangs_or_lies() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(3).await;
    let mut lost = Vec::new();
    for n in 0..SESSIONS {
        lost.push(cluster.node(1).connect(&format!("lost{n}"), Some("d")).await);
    }
    let mut kept = cluster.node(0).connect("kept", Some("d")).await;
    cluster.counts(SESSIONS + 1).await;
    let first_boot = cluster.node(1).incarnation;

    cluster.node(1).process.kill();
    let killed = Instant::now();
    let survivors = [cluster.node(0), cluster.node(2)];
    let (one, two) =
        tokio::join!(push_until_gone(survivors[0], killed), push_until_gone(survivors[1], killed));
    assert!(one > 0 && two > 0, "no push was made while the death was not known yet: {one}, {two}");
    for survivor in survivors {
        eventually("state of the killed node", async || {
            let state = survivor.sees("n2").await["state"].clone();
            if state == "dead" { Ok(()) } else { Err(state) }
        })
        .await;
        assert_eq!(
            survivor.push("kept", &survivor.name).await.json["delivered"],
            1,
            "the others are not affected"
        );
        assert_eq!(kept.next_text().await, survivor.name);
    }
    drop(lost);

    cluster.restart(1).await;
    cluster.node(1).ready().await;
    assert!(cluster.node(1).incarnation > first_boot);
    cluster.all_alive().await;
    let mut back = cluster.node(1).connect("lost0", Some("d")).await;
    cluster.shows("lost0", &[("d", "n2")]).await;
    cluster.shows("kept", &[("d", "n1")]).await;
    cluster.counts(2).await;
    for entry in cluster.nodes() {
        assert_eq!(entry.push("lost0", &entry.name).await.json["delivered"], 1);
        assert_eq!(back.next_text().await, entry.name);
    }
    assert_eq!(cluster.node(1).push("kept", "from the one that is back").await.json["delivered"], 1);
    assert_eq!(kept.next_text().await, "from the one that is back");
}

#[tokio::test]
async fn no_answer_about_others_waits_for_a_node_that_was_just_killed_and_none_for_a_suspect() {
    let _alone = alone().await;
    let cluster = Cluster::start_with(3, &["--push-timeout", "30s"]).await;
    let node = cluster.node(0);
    let _lost = cluster.node(1).connect("u", Some("lost")).await;
    let mut kept = cluster.node(2).connect("u", Some("kept")).await;
    cluster.shows("u", &[("kept", "n3"), ("lost", "n2")]).await;
    cluster.node(1).process.kill();
    let killed = Instant::now();
    let (several, user, broadcast, one) = tokio::join!(
        timed(killed, node.push("u", "x")),
        timed(killed, node.get("/v1/users/u")),
        timed(killed, node.post("/v1/broadcast", "y")),
        timed(killed, node.post("/v1/users/u/devices/lost/push", "z")),
    );
    let (answer, took) = several;
    let expected = json!([
        { "device": null, "node": "n2", "outcome": "unreachable" },
        { "device": "kept", "node": "n3", "outcome": "delivered" },
    ]);
    assert_eq!((answer.status, &answer.json["sessions"]), (200, &expected), "{answer:?}");
    assert!(took < OTHERS_WAIT_MAX, "the others' answer waited {took:?}");
    let (answer, took) = user;
    assert_eq!(answer.json["silent"], json!(["n2"]), "{answer:?}");
    assert!(took < OTHERS_WAIT_MAX, "the names waited {took:?}");
    let (answer, took) = broadcast;
    assert_eq!((answer.status, &answer.json["delivered"]), (200, &json!(1)), "{answer:?}");
    assert_eq!(answer.json["nodes"][1]["outcome"], "unreachable", "{answer:?}");
    assert!(took < OTHERS_WAIT_MAX, "the broadcast waited {took:?}");
    // Who asks it alone waits for it, until it is suspect.
    let (answer, took) = one;
    assert_eq!(answer.error(), (504, "unreachable"));
    assert!(took < SUSPECT_WITHIN, "a suspect was waited for, for {took:?}");
    let mut texts = [kept.next_text().await, kept.next_text().await];
    texts.sort();
    assert_eq!(texts, ["x", "y"]);
}

/// What a call gives, and how long after the kill.
async fn timed(killed: Instant, call: impl Future<Output = Answer>) -> (Answer, Duration) {
    let answer = call.await;
    (answer, killed.elapsed())
}

/// Pushes to sessions of the killed node until this node's answers have forgotten all of them.
/// Returns how many pushes met a session that was still believed in.
async fn push_until_gone(node: &Node, killed: Instant) -> usize {
    let mut unreachable = 0;
    for n in 0.. {
        let asked = Instant::now();
        let answer = node.push(&format!("lost{}", n % SESSIONS), "x").await;
        let took = asked.elapsed();
        assert!(took < PUSH_TIMEOUT + SLACK, "a push hung for {took:?}: {answer:?}");
        match answer.error() {
            (504, "unreachable") => {
                unreachable += 1;
                assert_eq!(
                    answer.json["sessions"][0]["node"], "n2",
                    "it says who did not answer: {answer:?}"
                );
                assert_eq!(answer.json["sessions"][0]["outcome"], "unreachable");
            }
            (404, "no_session") => {}
            _ => panic!("a push to a dead node was answered {answer:?}"),
        }
        if forgotten(node).await {
            let took = killed.elapsed();
            assert!(took < GONE_AFTER + SLACK, "the sessions were visible for {took:?}");
            return unreachable;
        }
        assert!(killed.elapsed() < GONE_AFTER + SLACK, "{} still shows sessions of the dead node", node.name);
    }
    unreachable!("the loop ends by its condition")
}

/// Whether none of this node's answers shows a session of the killed one.
async fn forgotten(node: &Node) -> bool {
    let list = node.get("/v1/sessions").await;
    let sessions = list.json["sessions"].as_array().expect("there is a list of sessions");
    let listed = sessions.iter().any(|session| session["node"] == "n2");
    let counted = node.stats().await["sessions"] != 1;
    let mut shown = false;
    for n in 0..SESSIONS {
        shown |= !node.sessions_of(&format!("lost{n}")).await.is_empty();
    }
    !listed && !counted && !shown
}

#[tokio::test]
async fn the_incarnation_is_kept_in_the_data_directory_and_rises_whatever_the_clock_says() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let path = dir.path().to_str().expect("temporary paths are text");
    let cluster = unique();
    // As after a boot under a clock that ran ahead: the present time alone would not exceed it.
    let ahead: u64 = 9_000_000_000_000;
    std::fs::write(dir.path().join("incarnation"), format!("{ahead}\n")).expect("the file can be written");
    let mut last = ahead;
    for _ in 0..2 {
        let node = Launch::dev(&cluster, "n1").flags(["--data-dir", path]).start().await;
        assert!(is_just_above(node.incarnation, last), "{} after {last}", node.incarnation);
        last = node.incarnation;
        node.ready().await;
    }
}

#[tokio::test]
async fn a_restarted_node_goes_above_the_incarnation_that_its_peers_remember() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let path = dir.path().to_str().expect("temporary paths are text");
    let cluster = unique();
    let ahead: u64 = 9_000_000_000_000;
    std::fs::write(dir.path().join("incarnation"), format!("{ahead}\n")).expect("the file can be written");
    let peer = Launch::dev(&cluster, "n1").start().await;
    let first = Launch::dev(&cluster, "n2").flags(["--data-dir", path]).peers([&peer]).start().await;
    first.ready().await;
    assert!(is_just_above(first.incarnation, ahead), "{}", first.incarnation);
    first.process.kill();
    let second = Launch::dev(&cluster, "n2").peers([&peer]).start().await;
    let is_above = is_just_above(second.incarnation, first.incarnation);
    assert!(is_above, "without its file it still knows from its peer: {}", second.incarnation);
    second.ready().await;
    eventually("the peer sees the second boot", async || {
        let seen = peer.sees("n2").await;
        if seen["state"] == "alive" && seen["incarnation"] == second.incarnation { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// Whether a boot stands as far above the one before as it may where that one is ahead of the clock.
fn is_just_above(incarnation: u64, before: u64) -> bool {
    (before + 1..=before + 60_000).contains(&incarnation)
}

#[tokio::test]
async fn a_node_that_reached_nobody_who_knows_its_former_boot_begins_again_above_it() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let path = dir.path().to_str().expect("temporary paths are text");
    let ahead: u64 = 9_000_000_000_000;
    std::fs::write(dir.path().join("incarnation"), format!("{ahead}\n")).expect("the file can be written");
    let mut cluster = Cluster::start_gated(1, &[]).await;
    let former = cluster.launch("n2").await.flags(["--data-dir", path]).peers(cluster.nodes()).start().await;
    former.ready().await;
    former.process.kill();
    // As after a clock that was set back, and without its file.
    let index = cluster.add_apart_from(0).await;
    assert!(cluster.node(index).incarnation < ahead, "the peer that knows is not reached");
    cluster.heal(index, 0);
    let node = cluster.node(index);
    let next = node.next_boot().await;
    assert!(is_just_above(next, former.incarnation), "{next} after {}", former.incarnation);
    node.ready().await;
    eventually("the peer sees the second boot", async || {
        let seen = cluster.node(0).sees("n2").await;
        if seen["state"] == "alive" && seen["incarnation"] == next { Ok(()) } else { Err(seen) }
    })
    .await;
    assert_eq!(node.process.ended(), None, "it is the same process");
}

#[tokio::test]
async fn an_earlier_process_under_the_same_name_stops_when_a_later_one_replaces_it() {
    let cluster = unique();
    let peer = Launch::dev(&cluster, "n1").start().await;
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let path = dir.path().to_str().expect("temporary paths are text");
    let first = Launch::dev(&cluster, "n2").peers([&peer]).flags(["--data-dir", path]).start().await;
    first.ready().await;
    let mut client = first.connect("u", Some("d")).await;
    peer.shows("u", &[("d", "n2")]).await;
    let second = Launch::dev(&cluster, "n2").peers([&peer]).flags(["--replace"]).start().await;
    let (code, reason) = client.closed().await;
    assert_eq!(code, 1012, "its clients are told to go elsewhere");
    let reason: serde_json::Value = serde_json::from_str(&reason).expect("the reason is JSON");
    assert!(reason["retry_ms"].as_u64().is_some_and(|pause| (100..=3_000).contains(&pause)), "{reason}");
    let status = first.process.end().await;
    assert_eq!(status.code(), Some(1), "it has to fail");
    let kept = std::fs::read_to_string(dir.path().join("incarnation")).expect("the file was written");
    assert_eq!(kept.trim(), second.incarnation.to_string(), "its next boot goes above the later process");
    assert!(first.process.stderr().contains("--name"), "it says what to do: {}", first.process.stderr());
    second.ready().await;
    assert_eq!(second.process.ended(), None, "the later one goes on");
}

#[tokio::test]
async fn a_process_does_not_start_while_another_one_of_its_name_answers_and_does_once_that_does_not() {
    let cluster = unique();
    let peer = Launch::dev(&cluster, "n1").start().await;
    let first = Launch::dev(&cluster, "n2").peers([&peer]).start().await;
    first.ready().await;
    let mut client = first.connect("u", Some("d")).await;
    // The seed tells where the other one is, and the other one may be the seed.
    for seed in [&peer, &first] {
        let mesh = seed.mesh.to_string();
        let args = ["node", "--dev", "--cluster", &cluster, "--name", "n2", "--listen", "127.0.0.1:0"];
        let refused =
            pushmesh(&[&args[..], &["--mesh-listen", "127.0.0.1:0", "--peer", &mesh]].concat()).await;
        assert_eq!(refused.code, 5, "{}", refused.stderr);
        let says = format!("a node named n2 runs at {} already", first.mesh);
        assert!(refused.stderr.contains(&says) && refused.stderr.contains("--replace"), "{}", refused.stderr);
    }
    assert_eq!(peer.push("u", "still there").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "still there");
    first.process.signal("STOP");
    let second = Launch::dev(&cluster, "n2").peers([&peer]).start().await;
    assert!(second.incarnation > first.incarnation, "one that does not answer is superseded");
    second.ready().await;
}

#[tokio::test]
async fn an_earlier_process_under_the_same_name_stops_also_when_there_is_no_third_node() {
    let cluster = unique();
    let first = Launch::dev(&cluster, "n1").start().await;
    first.ready().await;
    let second =
        Launch::dev(&cluster, "n1").flags(["--allow-alone", "--replace"]).peers([&first]).start().await;
    assert!(second.incarnation > first.incarnation, "it asked the process that runs");
    let status = first.process.end().await;
    assert_eq!(status.code(), Some(1), "it has to fail");
    assert!(first.process.stderr().contains("--name"), "it says what to do: {}", first.process.stderr());
    second.ready().await;
    assert_eq!(second.process.ended(), None, "the later one goes on");
}

#[tokio::test]
async fn a_node_that_fails_ends_within_seconds_also_when_it_is_told_to_stop_meanwhile() {
    let _alone = alone().await;
    let cluster = unique();
    let first = Launch::dev(&cluster, "n1").flags(["--drain-timeout", "60s"]).start().await;
    first.ready().await;
    // It takes nothing any more, so that there is something to wait for.
    let _deaf = first.dial().user("u").receive_buffer(16 << 10).open_raw().await;
    let large = "x".repeat(1 << 20);
    eventually("a write that stalls", async || {
        let answer = first.push("u", &large).await;
        let outcome = answer.json["sessions"][0]["outcome"].clone();
        if outcome == "buffered" { Ok(()) } else { Err(outcome) }
    })
    .await;
    let _second = Launch::dev(&cluster, "n1").flags(["--replace"]).peers([&first]).start().await;
    eventually("it drains, or has ended", async || {
        let livez = first.http.try_call("GET", "/livez", &[], "").await;
        match livez {
            Ok(answer) if answer.status == 200 => Err("alive"),
            Ok(answer) => {
                assert_eq!(answer.error(), (503, "not_alive"));
                Ok(())
            }
            Err(_) => Ok(()),
        }
    })
    .await;
    let told = Instant::now();
    if first.process.ended().is_none() {
        first.process.signal("TERM");
    }
    assert_eq!(first.process.end().await.code(), Some(1));
    assert!(told.elapsed() < FAULT_DRAIN + SLACK, "it took {:?}", told.elapsed());
}

/// Sessions of the node that is killed.
const SESSIONS: u64 = 20;
/// The default of `--push-timeout`: the documented bound of a push.
const PUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// The documented bound of the stop of a node that cannot go on.
const FAULT_DRAIN: Duration = Duration::from_secs(1);
/// Within which a dead node's sessions are gone: 6.4 s by the arithmetic of
/// src/membership/overlay/member.rs.
const GONE_AFTER: Duration = Duration::from_secs(7);
/// What the others' answers wait at most for a node that was just killed: 1.2 s, and what a loaded machine may add.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(4);
/// When a killed node is suspect at the latest: 3.2 s, and the same.
const SUSPECT_WITHIN: Duration = Duration::from_secs(8);
