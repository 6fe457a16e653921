//! A client that does not read costs itself its session, and nobody else anything.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use pushmesh::limits;
use serde_json::json;
use tokio::time::Instant;

use crate::harness::{Cluster, Frame, Node, alone, eventually, same};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_is_closed_with_4004_within_bounded_memory_and_others_do_not_notice() {
    let _alone = alone().await;
    let cluster = Cluster::start(2).await;
    let owner = cluster.node(0);
    let mut slow = owner.dial().user("slow").device("d").receive_buffer(SMALL_BUFFER).open_raw().await;
    let mut quick = owner.connect("quick", Some("d")).await;
    cluster.counts(2).await;

    let before = owner.resident_bytes();
    let over = AtomicBool::new(false);
    let overflow = async {
        let overflow = push_until_overloaded(cluster.node(1)).await;
        over.store(true, Ordering::Relaxed);
        overflow
    };
    let (overflow, (mut waits, peak)) = tokio::join!(overflow, async {
        let (mut waits, mut peak) = (Vec::new(), before);
        for n in 0.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let asked = Instant::now();
            let answer = cluster.node(1).push("quick", &n.to_string()).await;
            assert_eq!(answer.json["delivered"], 1, "{answer:?}");
            assert_eq!(quick.next_text().await, n.to_string());
            waits.push(asked.elapsed());
            peak = peak.max(owner.resident_bytes());
        }
        (waits, peak.max(owner.resident_bytes()))
    });
    let grown = peak.saturating_sub(before);
    assert!(grown < MEMORY_MAX, "the node grew by {grown} bytes, {MEMORY_MAX} are allowed: {overflow:?}");
    assert!(overflow.refused, "a client that reads nothing took all: {overflow:?}");
    assert!(overflow.delivered > 0, "the kernel's buffers took the first ones");
    assert!(overflow.buffered > 0, "then they waited in the outbox");
    waits.sort();
    let usual = waits[waits.len() / 2];
    assert!(
        usual < limits::BUFFERED_AFTER / 2,
        "another client of the same node waited {usual:?}: {waits:?}"
    );

    // It reads again, in time: what was being written arrives, then the reason.
    let mut messages = 0;
    let close = loop {
        match slow.frame().await {
            Frame::Data(length) => {
                assert_eq!(length, MESSAGE_BYTES);
                messages += 1;
            }
            Frame::Ping => {}
            other => break other,
        }
    };
    assert_eq!(close, Frame::Close(4004, "slow consumer".to_owned()));
    assert!(messages >= overflow.delivered, "{messages} arrived, {} were delivered", overflow.delivered);
    cluster.shows("slow", &[]).await;
    cluster.shows("quick", &[("d", "n1")]).await;
    assert_eq!(owner.metric("pushmesh_connections_closed_total{reason=\"slow_consumer\"}").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_that_never_reads_again_is_cut_off() {
    let _alone = alone().await;
    let cluster = Cluster::start(2).await;
    let mut slow =
        cluster.node(0).dial().user("slow").device("d").receive_buffer(SMALL_BUFFER).open_raw().await;
    cluster.counts(1).await;
    assert!(push_until_overloaded(cluster.node(1)).await.refused);
    let gone = cluster.node(1).push("slow", "x").await;
    assert!(matches!(gone.error(), (503, "overloaded") | (404, "no_session")), "{gone:?}");
    eventually("the connection is given up", async || {
        same(cluster.node(0).metric("pushmesh_connections").await, Some(0.0))
    })
    .await;
    cluster.counts(0).await;
    // There was no room for a reason. What the kernel held is there, and then the end.
    let mut frames = Vec::new();
    while frames.last() != Some(&Frame::End) {
        frames.push(slow.frame().await);
    }
    assert!(frames.iter().all(|frame| matches!(frame, Frame::Data(_) | Frame::End)), "{frames:?}");
}

/// What became of the pushes until one was refused.
#[derive(Debug, Default)]
struct Overflow {
    delivered: usize,
    buffered: usize,
    /// Whether one was. Otherwise all of them were taken.
    refused: bool,
}

/// Pushes from several loops at once, because a push that is buffered takes a second to say so.
async fn push_until_overloaded(entry: &Node) -> Overflow {
    let text = "x".repeat(MESSAGE_BYTES);
    let loops = (0..LOOPS).map(|_| async {
        let mut overflow = Overflow::default();
        for _ in 0..PUSHES_MAX {
            let answer = entry.push("slow", &text).await;
            match answer.status {
                200 if answer.json["sessions"][0]["outcome"] == "delivered" => overflow.delivered += 1,
                200 => {
                    assert_eq!(answer.json["sessions"][0]["outcome"], "buffered", "{answer:?}");
                    assert_eq!(answer.json["delivered"], 0, "buffered is not delivered");
                    overflow.buffered += 1;
                }
                503 => {
                    assert_eq!(answer.error(), (503, "overloaded"));
                    assert_eq!(answer.header("retry-after"), Some("1"));
                    let expected = json!([{ "device": "d", "node": "n1", "outcome": "overloaded" }]);
                    assert_eq!(answer.json["sessions"], expected);
                    overflow.refused = true;
                    break;
                }
                // Another loop was refused first, and the session is over.
                404 => break,
                other => panic!("a push to a slow consumer was answered {other}: {answer:?}"),
            }
        }
        overflow
    });
    let ends = join_all(loops).await;
    ends.into_iter().fold(Overflow::default(), |sum, end| Overflow {
        delivered: sum.delivered + end.delivered,
        buffered: sum.buffered + end.buffered,
        refused: sum.refused || end.refused,
    })
}

/// Bytes that the client's kernel keeps for it.
const SMALL_BUFFER: u32 = 16 << 10;
/// Bytes of one message.
const MESSAGE_BYTES: usize = 64 << 10;
/// Loops that push at once.
const LOOPS: usize = 64;
/// Pushes of each loop. All of them together are 256 MiB: who keeps what a client does not take holds
/// many times what is allowed.
const PUSHES_MAX: usize = 64;
/// What a node may grow by. Arithmetic: what waits in the outbox and the batch that is being written; and the
/// payloads of the requests that are under way, three times: as QUIC has received them, in the buffer that
/// they are read from, and as messages.
const MEMORY_MAX: u64 = (limits::OUTBOX_BYTES_MAX
    + limits::OUTBOX_BATCH_MAX * MESSAGE_BYTES
    + 3 * LOOPS * MESSAGE_BYTES
    + ALLOCATOR_BYTES) as u64;
/// What the allocator keeps of what was freed, and what code that runs for the first time needs. Measured.
const ALLOCATOR_BYTES: usize = 8 << 20;
const _: () =
    assert!(LOOPS * PUSHES_MAX * MESSAGE_BYTES > 8 * MEMORY_MAX as usize, "the bound can be exceeded");
