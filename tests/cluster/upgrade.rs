//! A cluster that is upgraded node by node, under way.
//!
//! The nodes of before speak only the older version of the mesh protocol. `PUSHMESH_PREVIOUS` names the program of
//! an older build to take for them; without it they are of this build, and told to speak it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::harness::{Launch, Message, Node, unique};

/// How the nodes of before are started.
struct Former(Option<PathBuf>);

impl Former {
    fn launch(&self, cluster: &str, name: &str) -> Launch {
        let launch = Launch::dev(cluster, name);
        match &self.0 {
            Some(program) => launch.program(program),
            None => launch.flags(["--mesh-version", "4"]),
        }
    }
}

#[tokio::test]
async fn a_rolling_upgrade_loses_no_push_and_doubles_none() {
    let former = Former(std::env::var_os("PUSHMESH_PREVIOUS").map(PathBuf::from));
    let cluster = unique();
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["n1", "n2", "n3"] {
        nodes.push(former.launch(&cluster, name).peers(&nodes).start().await);
    }
    for node in &nodes {
        node.ready().await;
    }
    reach_each_other(&nodes, "before").await;
    for turn in 0..nodes.len() {
        let old = nodes.remove(0);
        let name = old.name.clone();
        let new = Launch::dev(&cluster, &name).peers(&nodes);
        nodes.push(replaced(old, new, &nodes).await);
        reach_each_other(&nodes, &format!("turn {turn}")).await;
    }
    for node in &nodes[1..] {
        let log = node.process.stderr();
        assert!(log.contains("link up") && log.contains("version=5"), "{log}");
    }
    let log = nodes[0].process.stderr();
    assert!(log.contains("version=4"), "the first of the new nodes met old ones: {log}");
}

/// Every node pushes to a session of every node.
async fn reach_each_other(nodes: &[Node], when: &str) {
    for owner in nodes {
        let mut client = owner.connect("u", Some("d")).await;
        for pusher in nodes {
            pusher.shows("u", &[("d", &owner.name)]).await;
            let text = format!("{when}: {} to {}", pusher.name, owner.name);
            let answer = pusher.push("u", &text).await;
            assert_eq!(answer.json["delivered"], 1, "{text}: {}", answer.text());
            assert_eq!(client.next_text().await, text);
        }
        client.close().await;
        for node in nodes {
            node.shows("u", &[]).await;
        }
    }
}

/// Stops a node and starts another one in its place, while the two that stay push: to a client that stays, and to one
/// that has to move.
async fn replaced(old: Node, new: Launch, staying: &[Node]) -> Node {
    let [pusher, owner] = staying else { panic!("two stay") };
    let mut steady = owner.connect("steady", Some("d")).await;
    let mut moving = old.connect("moving", Some("d")).await;
    pusher.shows("steady", &[("d", &owner.name)]).await;
    pusher.shows("moving", &[("d", &old.name)]).await;
    let over = Cell::new(false);
    let replace = async {
        old.process.signal("TERM");
        assert_eq!(old.process.end().await.code(), Some(0));
        let new = new.start().await;
        new.ready().await;
        over.set(true);
        new
    };
    let push = async {
        let (mut sent, mut delivered) = (0, Vec::new());
        while !over.get() || sent < PUSHES_MIN {
            let text = sent.to_string();
            let answer = pusher.push("steady", &text).await;
            assert_eq!(answer.json["delivered"], 1, "{}", answer.text());
            if pusher.push("moving", &text).await.json["delivered"] == 1 {
                delivered.push(text);
            }
            sent += 1;
        }
        (sent, delivered)
    };
    let follow = async {
        let end = moving.end().await;
        assert_eq!(end.close.map(|(code, _)| code), Some(1012));
        let again = owner.connect("moving", Some("d")).await;
        (end.messages, again)
    };
    let (new, (sent, delivered), (mut got, mut again)) = tokio::join!(replace, push, follow);
    for text in 0..sent {
        assert_eq!(steady.next_text().await, text.to_string());
    }
    // The last one says that all before it have arrived.
    pusher.shows("moving", &[("d", &owner.name)]).await;
    assert_eq!(pusher.push("moving", LAST).await.json["delivered"], 1);
    while got.last() != Some(&Message::text(LAST)) {
        got.push(again.next().await);
    }
    let mut times = BTreeMap::<String, usize>::new();
    for message in got {
        *times.entry(message.into_text().expect("text was pushed").to_string()).or_default() += 1;
    }
    for text in delivered {
        assert_eq!(times.get(&text), Some(&1), "{text} was delivered: {times:?}");
    }
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    assert_eq!(steady.close().await.map(|(code, _)| code), Some(1000));
    again.close().await;
    new
}

const LAST: &str = "last";
/// So many at least, however fast a node is replaced.
const PUSHES_MIN: usize = 20;
