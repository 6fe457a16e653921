//! `pushmesh nodes`: the members of the cluster as one node sees them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{ApiArgs, ApiClient};
use super::exit::Exit;
use super::table::{Table, age, thousands};
use crate::json::Object;
use crate::wire::{Clock, SystemClock};

/// The flags of `pushmesh nodes`.
#[derive(Debug, clap::Args)]
pub(crate) struct NodesArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Nodes<T> {
    nodes: Vec<T>,
}

/// One member. Only the name is required: what a newer or older node leaves out is shown empty.
#[derive(Debug, Deserialize)]
struct NodeRow {
    name: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    degraded: bool,
    #[serde(default)]
    mesh: Option<String>,
    #[serde(default)]
    http: Option<String>,
    #[serde(default)]
    zone: Option<String>,
    #[serde(default)]
    sessions: Option<u64>,
    #[serde(default)]
    rtt_us: Option<u64>,
    #[serde(default, rename = "self")]
    is_self: bool,
    #[serde(default)]
    since_ms: Option<u64>,
}

/// Asks and prints.
pub(crate) async fn run(args: NodesArgs) -> anyhow::Result<Exit> {
    let api = ApiClient::new(&args.api)?;
    let lines = if args.json {
        let Object(answer): Object<Nodes<Box<RawValue>>> = api.get("/v1/nodes").await?;
        answer.nodes.iter().map(|node| node.get().to_owned()).collect()
    } else {
        let Object(answer): Object<Nodes<NodeRow>> = api.get("/v1/nodes").await?;
        table(answer.nodes, SystemClock.now_ms())
    };
    for line in lines {
        super::print_line(line)?;
    }
    Ok(Exit::Done)
}

/// The node that answered is marked with a star.
fn table(nodes: Vec<NodeRow>, now_ms: u64) -> Vec<String> {
    let mut table = Table::new(&["NODE", "STATE", ">SESSIONS", ">RTT", ">SINCE", "HTTP", "MESH", "ZONE"]);
    for node in nodes {
        table.row([
            if node.is_self { format!("{}*", node.name) } else { node.name },
            if node.degraded { format!("{} (degraded)", node.state) } else { node.state },
            node.sessions.map(thousands).unwrap_or_default(),
            node.rtt_us.map(milliseconds).unwrap_or_default(),
            node.since_ms.map(|since| age(since, now_ms)).unwrap_or_default(),
            node.http.unwrap_or_default(),
            node.mesh.unwrap_or_default(),
            node.zone.unwrap_or_default(),
        ]);
    }
    table.take_lines()
}

fn milliseconds(us: u64) -> String {
    format!("{}.{:02} ms", us / 1_000, us % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_a_table_that_tolerates_what_it_does_not_know() {
        let answer = r#"{"nodes":[
            {"name":"n1","state":"alive","incarnation":1,"mesh":"127.0.0.1:7400","http":"127.0.0.1:8080",
             "zone":null,"degraded":false,"sessions":1200,"rtt_us":null,"self":true,"since_ms":1000,"later":[1]},
            {"name":"n2","state":"suspect","mesh":"127.0.0.1:7401","sessions":3,"rtt_us":1234},
            {"name":"n3","state":"alive","degraded":true,"sessions":0}]}"#;
        let nodes: Nodes<NodeRow> = serde_json::from_str(answer).unwrap();
        let lines = table(nodes.nodes, 62_000);
        let expected = [
            "NODE  STATE             SESSIONS      RTT  SINCE  HTTP            MESH            ZONE",
            "n1*   alive                1,200           1m 1s  127.0.0.1:8080  127.0.0.1:7400",
            "n2    suspect                  3  1.23 ms                         127.0.0.1:7401",
            "n3    alive (degraded)         0",
        ];
        assert_eq!(lines, expected);
    }
}
