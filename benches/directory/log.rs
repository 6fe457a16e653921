//! What the nodes wrote down: every change of a member's state, and every link that was lost.
//!
//! Questions asked five times a second can miss a state that lasts for a moment. The log does not.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::server::Failure;

/// The log of one process.
#[derive(Debug, Clone)]
pub(crate) struct Log(PathBuf);

/// What is read from a log.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// The changes of members' states, in this order.
    pub(crate) changes: Vec<Change>,
    /// How many links broke.
    pub(crate) links_lost: usize,
}

/// A member changed its state in the opinion of the node that writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The member.
    pub(crate) member: String,
    /// The state before; `unknown` for one that was not listed.
    pub(crate) from: String,
    /// The state now.
    pub(crate) to: String,
}

impl Log {
    /// An empty log of this name.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn create(name: &str) -> Result<(Self, Stdio), Failure> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("directory");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.log"));
        let file = File::create(&path)?;
        Ok((Self(path), Stdio::from(file)))
    }

    /// What it tells so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read(&self) -> Result<Story, Failure> {
        let text = fs::read_to_string(&self.0)?;
        let mut story = Story::default();
        // A few lines are not JSON: what a node says before it logs.
        for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let fields = &line["fields"];
            let field = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
            match fields["message"].as_str() {
                Some("member state") => story.changes.push(Change {
                    member: field("member"),
                    from: field("from"),
                    to: field("to"),
                }),
                Some("link down") => story.links_lost += 1,
                _ => {}
            }
        }
        Ok(story)
    }
}

impl Story {
    /// How often a member that was listed entered this state. What a member starts with is no
    /// change of opinion: whom gossip shows before its link is there starts as suspect.
    pub(crate) fn count(&self, state: &str) -> usize {
        self.changes.iter().filter(|change| change.to == state && change.from != "unknown").count()
    }
}

/// Lets a node write what [`Log::read`] understands.
pub(crate) const LOG_FLAGS: [&str; 2] = ["--log-format", "json"];
