//! Clients that are silent, and sessions that are idle.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::{Cluster, Frame, Message, alone, within};

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed_with_1008() {
    let _alone = alone().await;
    let cluster = Cluster::start_with(2, &FAST).await;
    // Before the node's own clock starts, however late this task is told that it is connected.
    let started = Instant::now();
    let mut deaf = cluster.node(0).dial().user("deaf").device("d").open_raw().await;
    assert_eq!(deaf.frame().await, Frame::Ping);
    let mut pings = 1;
    let close = within("the close", async {
        loop {
            match deaf.frame().await {
                Frame::Ping => pings += 1,
                other => break other,
            }
        }
    });
    let close = close.await;
    assert_eq!(close, Frame::Close(1008, "heartbeat timeout".to_owned()));
    assert!(started.elapsed() >= HEARTBEAT_TIMEOUT, "{:?}", started.elapsed());
    assert!((2..=3).contains(&pings), "{pings} pings in {HEARTBEAT_TIMEOUT:?}");
    cluster.shows("deaf", &[]).await;
}

#[tokio::test]
async fn a_client_that_answers_pings_lives_on() {
    let _alone = alone().await;
    let cluster = Cluster::start_with(1, &FAST).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    let started = Instant::now();
    while started.elapsed() < HEARTBEAT_TIMEOUT * 2 {
        client.pinged().await;
    }
    assert_eq!(cluster.node(0).push("u", "still here").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "still here");
}

#[tokio::test]
async fn an_idle_session_is_closed_with_1000_although_its_client_answers_pings() {
    let _alone = alone().await;
    let cluster = Cluster::start_with(1, &IDLE).await;
    let started = Instant::now();
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    client.pinged().await;
    assert_eq!(client.closed().await, (1000, "idle timeout".to_owned()));
    let idle_for = started.elapsed();
    assert!(idle_for >= IDLE_TIMEOUT, "closed after {idle_for:?}");
    cluster.counts(0).await;
}

#[tokio::test]
async fn messages_in_either_direction_keep_a_session_from_being_idle() {
    let _alone = alone().await;
    let cluster = Cluster::start_with(1, &IDLE).await;
    let mut pushed = cluster.node(0).connect("pushed", Some("d")).await;
    let mut sending = cluster.node(0).connect("sending", Some("d")).await;
    let started = Instant::now();
    while started.elapsed() < IDLE_TIMEOUT * 2 {
        // A ping is the clock here: one comes for every tenth of the idle timeout.
        pushed.pinged().await;
        assert_eq!(cluster.node(0).push("pushed", "x").await.json["delivered"], 1);
        assert_eq!(pushed.next_text().await, "x");
        sending.send(Message::text("y")).await;
    }
    cluster.counts(2).await;
    assert_eq!(cluster.node(0).push("sending", "x").await.json["delivered"], 1);
    assert_eq!(sending.next_text().await, "x");
}

/// Long enough that a busy machine does not skip a ping, nor a client its answer.
const FAST: [&str; 4] = ["--heartbeat-interval", "1s", "--heartbeat-timeout", "2500ms"];
const HEARTBEAT_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Long enough that a busy machine does not make a session idle that a test keeps busy.
const IDLE: [&str; 6] =
    ["--idle-timeout", "3s", "--heartbeat-interval", "300ms", "--heartbeat-timeout", "20s"];
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
