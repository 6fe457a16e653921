//! `POST /v1/push`: many pushes in one request, answered in order while they are sent.

use std::convert::Infallible;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::harness::{Client, Cluster, Message, Node, alone, within};

/// A stream in progress.
struct Exchange {
    /// Dropped to end the request.
    lines: Option<mpsc::Sender<Bytes>>,
    answers: Incoming,
    buffer: BytesMut,
}

impl Exchange {
    /// Opens a stream. The first line goes with it, because a client sees the head of the answer
    /// when there is something to answer.
    async fn open(node: &Node, first: &str) -> Self {
        let (lines, queue) = mpsc::channel::<Bytes>(16);
        let frames = futures_util::stream::unfold(queue, |mut queue| async {
            let line = queue.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(line)), queue))
        });
        lines.send(format!("{first}\n").into()).await.expect("the queue is new");
        let body = StreamBody::new(frames).boxed_unsync();
        let headers = [("content-type", "application/x-ndjson")];
        let response = within("head of the answer", node.http.send("POST", "/v1/push", &headers, body)).await;
        let response = response.expect("the node answers");
        assert_eq!(response.status(), 200);
        Self { lines: Some(lines), answers: response.into_body(), buffer: BytesMut::new() }
    }

    async fn send(&mut self, line: &str) {
        let lines = self.lines.as_ref().expect("the request has not ended");
        lines.send(format!("{line}\n").into()).await.expect("the request is being sent");
    }

    /// The next result line; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                return Some(serde_json::from_slice(&line).expect("a result line is JSON"));
            }
            let frame = within("a result line", self.answers.frame()).await;
            let Some(frame) = frame else {
                assert!(self.buffer.is_empty(), "the last line ends with a line feed");
                return None;
            };
            if let Ok(data) = frame.expect("the answer is not broken off").into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_lines_are_answered_and_delivered_in_order() {
    let _alone = alone().await;
    let cluster = Cluster::start(3).await;
    let mut readers = Vec::new();
    for (index, node) in cluster.nodes().iter().enumerate() {
        let user = format!("u{index}");
        let client = node.connect(&user, Some("d")).await;
        cluster.shows(&user, &[("d", &node.name)]).await;
        readers.push(tokio::spawn(expect_in_order(client, index)));
    }
    let body: String = (0..LINES)
        .map(|n| json!({ "to": { "user": format!("u{}", n % 3) }, "data": n.to_string(), "id": format!("m{n}") }))
        .map(|line| format!("{line}\n"))
        .collect();
    let answer = cluster.node(1).post("/v1/push", body).await;
    assert_eq!(answer.status, 200);
    let results: Vec<Value> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a result line is JSON"))
        .collect();
    assert_eq!(results.len(), LINES);
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result["line"], n + 1, "{result}");
        assert_eq!(result["id"], format!("m{n}"), "{result}");
        assert_eq!((&result["outcome"], &result["delivered"]), (&json!("delivered"), &json!(1)), "{result}");
        assert_eq!(result["sessions"][0]["node"], format!("n{}", n % 3 + 1), "{result}");
    }
    for reader in readers {
        reader.await.expect("each client got its messages in order");
    }
}

/// Reads the messages of client `index`: every third number, none missing, none twice.
async fn expect_in_order(mut client: Client, index: usize) {
    for n in (index..LINES).step_by(3) {
        assert_eq!(client.next_text().await, n.to_string());
    }
}

#[tokio::test]
async fn a_stream_is_answered_while_it_is_still_being_sent() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let line = |n: usize| json!({ "to": { "user": "u", "device": "d" }, "data": format!("{n}") }).to_string();
    let mut exchange = Exchange::open(cluster.node(1), &line(0)).await;
    for n in 0..20 {
        let result = exchange.next().await.expect("an answer for the line that was sent");
        assert_eq!((&result["line"], &result["outcome"]), (&json!(n + 1), &json!("delivered")), "{result}");
        assert_eq!(client.next_text().await, n.to_string());
        exchange.send(&line(n + 1)).await;
    }
    exchange.lines = None;
    assert_eq!(exchange.next().await.expect("the last line is answered")["line"], 21);
    assert_eq!(exchange.next().await, None);
}

#[tokio::test]
async fn a_line_sends_text_json_or_binary_to_a_user_a_device_or_all() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    let mut other = cluster.node(1).connect("v", Some("d")).await;
    cluster.counts(2).await;
    let lines = [
        r#"{"to":{"user":"u"},"data":"text \u2603 \"quoted\""}"#,
        r#"{"to":{"user":"u","device":"d"},"data":{"b":1, "a":[1.50,null]}}"#,
        r#"{"to":{"user":"u"},"base64":"AP8QCg=="}"#,
    ];
    let answer = cluster.node(1).post("/v1/push", lines.join("\n")).await;
    let results: Vec<Value> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a result line is JSON"))
        .collect();
    assert_eq!(results.len(), 3, "a last line needs no line feed: {results:?}");
    assert_eq!(client.next_text().await, "text \u{2603} \"quoted\"");
    assert_eq!(client.next_text().await, r#"{"b":1, "a":[1.50,null]}"#, "JSON is sent as it was written");
    assert_eq!(client.next().await, Message::binary(vec![0, 255, 16, 10]));
    // A request of its own: what is for everybody may overtake what is for one.
    let all = cluster.node(1).post("/v1/push", r#"{"to":"all","data":"everyone","id":"b1"}"#).await;
    let all: Value = serde_json::from_slice(&all.body).expect("one result line");
    assert_eq!((&all["line"], &all["id"], &all["delivered"]), (&json!(1), &json!("b1"), &json!(2)), "{all}");
    assert_eq!(client.next_text().await, "everyone");
    assert_eq!(other.next_text().await, "everyone");
}

#[tokio::test]
async fn a_bad_line_is_answered_with_an_error_and_the_stream_goes_on() {
    let cluster = Cluster::start(1).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    let long = format!(r#"{{"to":{{"user":"u"}},"data":"{}"}}"#, "x".repeat(8 << 20));
    let big = format!(r#"{{"to":{{"user":"u"}},"data":"{}"}}"#, "x".repeat((1 << 20) + 1));
    let lines = [
        ("not json", Some("bad_request")),
        (r#"{"to":{"user":"u"},"data":"1","unknown":1}"#, Some("bad_request")),
        (r#"{"to":{"user":""},"data":"2"}"#, Some("bad_request")),
        (r#"{"to":{"user":"u"}}"#, Some("bad_request")),
        (r#"{"to":"nobody","data":"3"}"#, Some("bad_request")),
        (r#"{"to":{"user":"nobody"},"data":"4"}"#, None),
        (big.as_str(), Some("payload_too_large")),
        (long.as_str(), Some("payload_too_large")),
        (r#"{"to":{"user":"u"},"data":"good"}"#, None),
    ];
    let body = lines.map(|(line, _)| line).join("\n");
    let answer = cluster.node(0).post("/v1/push", body).await;
    let results: Vec<Value> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a result line is JSON"))
        .collect();
    assert_eq!(results.len(), lines.len(), "{results:?}");
    for (n, (result, (line, code))) in results.iter().zip(lines).enumerate() {
        assert_eq!(result["line"], n + 1, "{result}");
        assert_eq!(result["error"]["code"].as_str(), code, "{:.80}: {result}", line);
    }
    assert_eq!(results[5]["outcome"], "no_session");
    assert_eq!(results[8]["outcome"], "delivered");
    assert_eq!(client.next_text().await, "good", "nothing of the bad lines arrived");
    assert_eq!(cluster.node(0).metric("pushmesh_lines_refused_total").await, Some(7.0));
}

#[tokio::test]
async fn what_single_pushes_say_for_all_of_a_request_is_a_mistake_in_a_stream() {
    let cluster = Cluster::start(1).await;
    let line = r#"{"to":{"user":"u"},"data":"1"}"#;
    let all: [(&str, &[(&str, &str)]); 4] =
        [("?wait=acked", &[]), ("?foo", &[]), ("", &[("TTL", "5")]), ("", &[("Idempotency-Key", "m1")])];
    for (query, headers) in all {
        let answer = cluster.node(0).http.call("POST", &format!("/v1/push{query}"), headers, line).await;
        assert_eq!(answer.status, 400, "{query} {headers:?}: {}", answer.json);
        assert!(
            answer.json["error"]["message"].as_str().is_some_and(|why| why.contains("each line says")),
            "{}",
            answer.json
        );
    }
    assert_eq!(cluster.node(0).http.call("POST", "/v1/push?", &[], line).await.status, 200);
}

/// Enough to run far past every window and queue on the way.
const LINES: usize = 10_000;
