//! Why a user is where it is: the rows behind the answer, the way of a push, and the command.

use serde_json::{Value, json};

use crate::harness::{Cluster, Node, alone, eventually, pushmesh, same};

#[tokio::test]
async fn every_claim_is_shown_with_what_it_counts_for_and_the_way_of_a_push() {
    let _alone = alone().await;
    let cluster = Cluster::start(3).await;
    let (one, two, three) = (cluster.node(0), cluster.node(1), cluster.node(2));
    let _first = two.connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n2")]).await;
    for (node, way, why) in [(one, "direct", "link to n2"), (two, "here", "holds"), (three, "direct", "link")]
    {
        let answer = explain(node).await;
        assert_eq!((&answer["self"], &answer["isolated"]), (&json!(node.name), &json!(false)), "{answer}");
        let (row, route) = (&answer["rows"][0], &answer["route"][0]);
        assert_eq!(
            (&row["device"], &row["visible"], &row["wins"]),
            (&json!("d"), &json!(true), &json!(true))
        );
        assert_eq!(row["incarnation"], two.incarnation, "{answer}");
        assert!(text(row, "why").contains("only visible claim"), "{answer}");
        assert_eq!((text(route, "node"), text(route, "way")), ("n2", way), "{answer}");
        assert!(text(route, "why").contains(why), "{answer}");
    }

    // A node that stands still cannot release what it claims.
    two.process.signal("STOP");
    let _second = one.connect("u", Some("d")).await;
    for (node, way) in [(one, "here"), (three, "direct")] {
        let answer = eventually("two claims", async || {
            let answer = explain(node).await;
            same(answer["rows"].as_array().map(Vec::len), Some(2)).map(|_| ())?;
            Ok::<_, String>(answer)
        })
        .await;
        let (won, lost) = (row(&answer, "n1"), row(&answer, "n2"));
        assert_eq!((&won["wins"], &lost["wins"]), (&json!(true), &json!(false)), "{answer}");
        assert!(text(&won, "why").contains("first of 2"), "{answer}");
        assert!(text(&lost, "why").contains("of n1 stands against"), "{answer}");
        assert!(stamp(&won) > stamp(&lost), "{answer}");
        let route = answer["route"].as_array().expect("there is a route");
        assert_eq!(route.len(), 1, "{answer}");
        assert_eq!((text(&route[0], "node"), text(&route[0], "way")), ("n1", way), "{answer}");
    }

    two.process.kill();
    for node in [one, three] {
        let answer = eventually("the dead node's claim", async || {
            let answer = explain(node).await;
            if row(&answer, "n2")["visible"] == false { Ok(answer) } else { Err(answer) }
        })
        .await;
        let hidden = row(&answer, "n2");
        assert!(text(&hidden, "why").contains("n2 is dead"), "{answer}");
        assert_eq!(
            (&hidden["wins"], &hidden["member"]["state"]),
            (&json!(false), &json!("dead")),
            "{answer}"
        );
        assert!(text(&row(&answer, "n1"), "why").contains("only visible claim"), "{answer}");
        assert_eq!(answer["silent"], json!(["n2"]), "{answer}");
    }
}

#[tokio::test]
async fn the_command_shows_rows_and_route_and_its_exit_code_says_whether_there_are_any() {
    let cluster = Cluster::start(2).await;
    let _client = cluster.node(1).dial().user("a%2Fb").device("phone").open().await;
    cluster.shows("a%2Fb", &[("phone", "n2")]).await;
    for node in cluster.nodes() {
        let url = format!("http://{}", node.addr);
        let explain = async |args: &[&str]| pushmesh(&[&["explain", "--url", &url][..], args].concat()).await;

        let done = explain(&["user/a%2Fb"]).await;
        assert_eq!(done.code, 0, "{done:?}");
        let lines: Vec<_> = done.stdout.lines().collect();
        let head = format!("user a/b, seen by {} as of ", node.name);
        assert!(lines[0].starts_with(&head) && lines[0].ends_with("policy exclusive-device"), "{done:?}");
        let titles = ["DEVICE", "NODE", "STATE", "CLAIM", "STAMP", "VISIBLE", "WINS", "WHY"];
        assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), titles, "{done:?}");
        assert!(lines[3].starts_with("phone   n2    alive  connected"), "{done:?}");
        let way = if node.name == "n2" { "here" } else { "direct" };
        assert!(lines[6].starts_with(&format!("phone   n2    {way}")), "{done:?}");

        let done = explain(&["user/a%2Fb", "--json"]).await;
        let answer: Value = serde_json::from_str(&done.stdout).expect("--json prints JSON");
        assert_eq!((done.code, done.stdout.lines().count()), (0, 1), "{done:?}");
        assert_eq!((&answer["user"], &answer["rows"][0]["node"]), (&json!("a/b"), &json!("n2")), "{answer}");

        for args in [&["user/nobody"][..], &["user/nobody", "--json"]] {
            let nobody = explain(args).await;
            assert_eq!(nobody.code, 3, "{nobody:?}");
            assert!(nobody.stderr.contains("knows no session of user nobody"), "{nobody:?}");
        }
        for (wrong, said) in [("user/a/phone", "give user/a"), ("all", "give user/ID"), ("a", "give user/ID")]
        {
            let refused = explain(&[wrong]).await;
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(refused.stderr.contains(said), "{refused:?}");
        }
    }
}

/// What a node says about the user `u`.
async fn explain(node: &Node) -> Value {
    let answer = node.get("/v1/explain/users/u").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json
}

/// The row of an owner.
fn row(answer: &Value, owner: &str) -> Value {
    let rows = answer["rows"].as_array().expect("there is a list of rows");
    let row = rows.iter().find(|row| row["node"] == owner);
    row.unwrap_or_else(|| panic!("no row of {owner} in {answer}")).clone()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is text in {value}"))
}

fn stamp(row: &Value) -> u64 {
    text(row, "stamp").parse().expect("a stamp is a number")
}
