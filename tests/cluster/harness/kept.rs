//! Clients of the session `u/d`, which is kept for them while they are away.

use serde_json::{Value, json};

use super::client::{Client, Message};
use super::cluster::Cluster;
use super::http::Answer;
use super::node::Node;
use super::wait::{eventually, same};

/// What a client of the session `u/d` knows of it: its last welcome.
pub(crate) struct Known(pub(crate) Value);

/// A connection of it.
pub(crate) struct Kept {
    pub(crate) client: Client,
    pub(crate) known: Known,
}

impl Known {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_else(|| panic!("{field} is text in {}", self.0))
    }

    /// The next connection, which has everything of the last segment up to that number.
    pub(crate) async fn back(&self, node: &Node, number: u64) -> Kept {
        self.back_after(node, &[(self.text("segment"), number)]).await
    }

    /// The same, which has everything up to these positions.
    pub(crate) async fn back_after(&self, node: &Node, positions: &[(&str, u64)]) -> Kept {
        let after: Vec<_> = positions.iter().map(|(segment, number)| format!("{segment}.{number}")).collect();
        Kept::dial(node, &[("resume", self.text("resume")), ("after", &after.join(","))]).await
    }
}

impl Kept {
    /// A new session.
    pub(crate) async fn open(node: &Node) -> Self {
        Self::dial(node, &[]).await
    }

    pub(crate) async fn dial(node: &Node, query: &[(&str, &str)]) -> Self {
        let dial = node.dial().user("u").device("d").query("keep", "30").envelopes();
        let dial = query.iter().fold(dial, |dial, (name, value)| dial.query(name, value));
        let mut client = dial.open().await;
        let welcome = client.next_json().await;
        assert_eq!((&welcome["type"], &welcome["keep"]), (&json!("welcome"), &json!(30)), "{welcome}");
        Self { client, known: Known(welcome) }
    }

    pub(crate) fn segment(&self) -> &str {
        self.known.text("segment")
    }

    pub(crate) fn resumed(&self) -> &str {
        self.known.text("resumed")
    }

    /// The next so many frames, as text: what is of an older segment than the current one has `before` for each that it is
    /// before it.
    pub(crate) async fn next(&mut self, frames: usize) -> Vec<String> {
        let mut said = Vec::new();
        for _ in 0..frames {
            let frame = self.client.next_json().await;
            let word = |field: &str| frame[field].as_str().unwrap_or("?");
            said.push(match word("type") {
                "message" => {
                    let older = if frame.get("segment").is_some() { "older " } else { "" };
                    format!("{older}{} {}", frame["n"], word("data"))
                }
                "gap" => format!("gap {}-{} {}", frame["from"], frame["to"], word("why")),
                "closed" => format!("closed {}", frame["n"]),
                "resumed" => format!("resumed {}", word("resumed")),
                _ => frame.to_string(),
            });
        }
        said
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.client.send(Message::text(frame.to_string())).await;
    }

    /// Acknowledges all up to that number of the current segment, and waits until the node knows.
    pub(crate) async fn ack(&mut self, number: u64) {
        self.say(json!({ "type": "ack", "n": number })).await;
        self.say(json!({ "type": "ping" })).await;
        assert_eq!(self.client.next_json().await, json!({ "type": "pong" }));
    }

    /// Breaks the connection, and waits until every node knows.
    pub(crate) async fn leave(self, cluster: &Cluster) -> Known {
        drop(self.client);
        parked(cluster).await;
        self.known
    }
}

/// Waits until every node shows the session as parked.
pub(crate) async fn parked(cluster: &Cluster) {
    for node in cluster.nodes() {
        eventually(&format!("parked at {}", node.name), async || {
            let user = node.http.call("GET", "/v1/users/u", &[], "").await.json;
            let shown = (user["online"].clone(), user["state"].clone());
            same(shown, (json!(false), json!("parked"))).map(|_| ())
        })
        .await;
    }
}

pub(crate) async fn push(node: &Node, data: &str) -> String {
    push_with(node, "", &[], data).await
}

pub(crate) async fn push_with(node: &Node, query: &str, headers: &[(&str, &str)], data: &str) -> String {
    let answer = try_push(node, query, headers, data).await;
    let outcome = &answer.json["sessions"][0]["outcome"];
    outcome.as_str().unwrap_or_else(|| panic!("a session has an outcome: {answer:?}")).to_owned()
}

pub(crate) async fn try_push(node: &Node, query: &str, headers: &[(&str, &str)], data: &str) -> Answer {
    node.http.call("POST", &format!("/v1/users/u/push{query}"), headers, data.to_owned()).await
}
