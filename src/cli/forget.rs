//! `pushmesh forget NODE`: tells one node that a dead member is gone for good.
//!
//! The node that is asked forgets it, and no other: who is dead is each node's own verdict.

use super::client::{ApiArgs, ApiClient};
use super::exit::Exit;
use super::output::print_line;
use crate::gateway::schema::Forgotten;
use crate::id::NodeName;

/// The flags of `pushmesh forget`.
#[derive(Debug, clap::Args)]
pub(crate) struct ForgetArgs {
    /// The dead node, by its name in `pushmesh nodes`. Only the node at --url forgets it
    #[arg(value_name = "NODE", value_parser = name)]
    node: NodeName,
    #[command(flatten)]
    api: ApiArgs,
}

fn name(text: &str) -> Result<NodeName, String> {
    NodeName::new(text).map_err(|error| error.to_string())
}

/// Asks and prints.
pub(crate) async fn run(args: ForgetArgs) -> anyhow::Result<Exit> {
    let api = ApiClient::new(&args.api)?;
    // A name of a node has no letter that a path would escape.
    print_line(describe(&api.delete(&format!("/v1/nodes/{}", args.node)).await?))?;
    Ok(Exit::Done)
}

fn describe(forgotten: &Forgotten) -> String {
    let Forgotten { node, incarnation, isolated } = forgotten;
    let still = if *isolated { "; the node is isolated still: it misses others" } else { "" };
    format!("{node} is forgotten, incarnation {incarnation}{still}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_whom_and_whether_others_are_missing() {
        let said = |answer: &str| describe(&serde_json::from_str(answer).unwrap());
        assert_eq!(
            said(r#"{"node":"n2","incarnation":7,"isolated":false}"#),
            "n2 is forgotten, incarnation 7"
        );
        assert!(said(r#"{"node":"n2","incarnation":7,"isolated":true}"#).ends_with("it misses others"));
        assert!(name("a/b").is_err());
    }
}
