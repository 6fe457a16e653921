//! `pushmesh nodes`: the members of the cluster as one node sees them.

use serde_json::value::RawValue;

use super::client::{ApiArgs, ApiClient};
use super::exit::Exit;
use super::output::print_line;
use super::table::{Table, age, thousands};
use crate::gateway::schema::{NodeStatus, Nodes};
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

/// Asks and prints.
pub(crate) async fn run(args: NodesArgs) -> anyhow::Result<Exit> {
    let api = ApiClient::new(&args.api)?;
    let lines = if args.json {
        let Object(answer): Object<Nodes<Box<RawValue>>> = api.get("/v1/nodes").await?;
        answer.nodes.iter().map(|node| node.get().to_owned()).collect()
    } else {
        let Object(answer): Object<Nodes> = api.get("/v1/nodes").await?;
        table(answer.nodes, SystemClock.now_ms())
    };
    for line in lines {
        print_line(line)?;
    }
    Ok(Exit::Done)
}

/// The node that answered is marked with a star. It alone says how many of its groups are short of copies.
fn table(nodes: Vec<NodeStatus>, now_ms: u64) -> Vec<String> {
    let columns = ["NODE", "STATE", ">SESSIONS", ">SHORT", ">RTT", ">SINCE", "HTTP", "MESH", "ZONE"];
    let mut table = Table::new(&columns);
    for node in nodes {
        table.row([
            if node.own { format!("{}*", node.name) } else { node.name },
            if node.degraded { format!("{} (degraded)", node.state) } else { node.state },
            thousands(node.sessions),
            node.groups_short.map(|groups| groups.to_string()).unwrap_or_default(),
            node.rtt_us.map(milliseconds).unwrap_or_default(),
            age(node.since_ms, now_ms),
            node.http,
            node.mesh,
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
    fn nodes_are_a_table_that_passes_over_what_it_does_not_know() {
        let answer = r#"{"nodes":[
            {"name":"n1","state":"alive","incarnation":1,"mesh":"127.0.0.1:7400","http":"127.0.0.1:8080","zone":null,
             "degraded":false,"groups_short":16,"sessions":1200,"rtt_us":null,"self":true,"since_ms":1000,"heard_ms":9,"later":[1]},
            {"name":"n2","state":"suspect","incarnation":2,"mesh":"127.0.0.1:7401","http":"127.0.0.1:8081","zone":"a",
             "degraded":false,"groups_short":null,"sessions":3,"rtt_us":1234,"self":false,"since_ms":2000,"heard_ms":9},
            {"name":"n3","state":"sleepy","incarnation":3,"mesh":"127.0.0.1:7402","http":"127.0.0.1:8082","zone":null,
             "degraded":true,"sessions":0,"rtt_us":null,"self":false,"since_ms":62000,"heard_ms":9}]}"#;
        let nodes: Nodes = serde_json::from_str(answer).unwrap();
        let lines = table(nodes.nodes, 62_000);
        let expected = [
            "NODE  STATE              SESSIONS  SHORT      RTT  SINCE  HTTP            MESH            ZONE",
            "n1*   alive                 1,200     16           1m 1s  127.0.0.1:8080  127.0.0.1:7400",
            "n2    suspect                   3         1.23 ms  1m 0s  127.0.0.1:8081  127.0.0.1:7401  a",
            "n3    sleepy (degraded)         0                     0s  127.0.0.1:8082  127.0.0.1:7402",
        ];
        assert_eq!(lines, expected);
    }
}
