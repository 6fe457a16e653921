//! Asks every node five times a second what it thinks of the others.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::cluster::Cluster;
use crate::http::Http;
use crate::server::Failure;
use crate::table::as_us;

/// What all nodes thought of all others.
#[derive(Debug, Default)]
pub(crate) struct Opinions {
    /// How often a member was seen in each state.
    pub(crate) states: BTreeMap<String, u64>,
    /// How long each suspicion lasted that was seen, in milliseconds, by the nodes' own clocks.
    pub(crate) suspected_ms: Vec<u32>,
    /// Round trips of the links, in microseconds; one for each look at a member with a link.
    pub(crate) rtt_us: Vec<u32>,
    /// Looks at a member that had no link.
    pub(crate) unlinked: u64,
}

/// Watches all nodes until `until`.
///
/// # Errors
/// A node does not answer.
pub(crate) async fn watch(cluster: &Cluster, until: Instant) -> Result<Opinions, Failure> {
    let mut watchers = JoinSet::new();
    for node in &cluster.nodes {
        watchers.spawn(watch_one(Http::open(node.server.http).await?, until));
    }
    let mut all = Opinions::default();
    while let Some(watched) = watchers.join_next().await {
        all.add(watched??);
    }
    Ok(all)
}

async fn watch_one(mut node: Http, until: Instant) -> Result<Opinions, Failure> {
    let mut opinions = Opinions::default();
    let mut before: BTreeMap<String, (String, u64)> = BTreeMap::new();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        looks.tick().await;
        let answer = node.get("/v1/nodes").await?;
        let members = answer["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        for member in members.iter().filter(|member| member["self"] != true) {
            opinions.take(member, &mut before);
        }
    }
    Ok(opinions)
}

impl Opinions {
    fn take(&mut self, member: &Value, before: &mut BTreeMap<String, (String, u64)>) {
        let text = |field: &str| member[field].as_str().unwrap_or_default().to_owned();
        let (name, state) = (text("name"), text("state"));
        let since_ms = member["since_ms"].as_u64().unwrap_or(0);
        *self.states.entry(state.clone()).or_default() += 1;
        match member["rtt_us"].as_u64() {
            Some(rtt) => self.rtt_us.push(as_us(Duration::from_micros(rtt))),
            None => self.unlinked += 1,
        }
        if let Some((was, began_ms)) = before.insert(name, (state.clone(), since_ms))
            && was == "suspect"
            && state != was
        {
            self.suspected_ms.push(u32::try_from(since_ms.saturating_sub(began_ms)).unwrap_or(u32::MAX));
        }
    }

    fn add(&mut self, other: Self) {
        for (state, count) in other.states {
            *self.states.entry(state).or_default() += count;
        }
        self.suspected_ms.extend(other.suspected_ms);
        self.rtt_us.extend(other.rtt_us);
        self.unlinked += other.unlinked;
    }
}

/// As often as the nodes themselves think it over.
const LOOK_EVERY: Duration = Duration::from_millis(200);
