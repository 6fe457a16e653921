//! chitchat, behind a small door: start it, say something, see who is there, hear that it died.
//!
//! chitchat spreads a few key-value pairs of each node and counts heartbeats with a phi-accrual
//! failure detector. What it knows is polled with [`Gossip::views`] and judged by the
//! [`overlay`](crate::membership::overlay); this file decides nothing. It carries no sessions: all
//! that chitchat knows has to fit one UDP payload.
//!
//! Facts about chitchat 0.11 that shape the callers:
//! - A member is `(name, incarnation, address)`, so a restarted node is a new member and its former
//!   self stays in the list until the grace period ends. The overlay supersedes it by itself.
//! - A node is live only after several heartbeats arrived, because one alone may be an old one that
//!   a third node still repeats. A new or returning node therefore is not live for about a second.
//! - Nodes of another cluster answer `BadCluster`, which is logged there and has no effect. The
//!   mesh refuses them earlier, in the handshake.
//! - The gossip task panics when the digest outgrows one UDP payload (about 1,100 members, former
//!   selves included), and the handle then serves the same old state for ever. A node that does not
//!   await [`Gossip::terminated`] would believe it.
//! - It would look DNS names among the seeds up by itself, at the start and then once a minute, and the
//!   start would wait for the answers. So it is given addresses only; names are looked up by the node,
//!   which greets what it finds with [`Gossip::greet`].

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use chitchat::transport::Transport;
use chitchat::{Chitchat, ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, NodeState};
use tracing::debug;

use crate::id::{ClusterName, Incarnation, NodeName};
use crate::limits;
use crate::membership::member::{Advert, GossipView, KEYS};

/// A running chitchat. Dropping it stops gossip.
pub(crate) struct Gossip {
    handle: ChitchatHandle,
}

/// What gossip needs to know about this node.
#[derive(Debug, Clone)]
pub(crate) struct GossipConfig {
    /// Only nodes of the same cluster gossip with each other.
    pub(crate) cluster: ClusterName,
    /// This node.
    pub(crate) name: NodeName,
    /// This boot of it; decided before gossip starts and never changed.
    pub(crate) incarnation: Incarnation,
    /// The mesh address that peers gossip with.
    pub(crate) advertise: SocketAddr,
    /// Addresses of some other nodes. May contain this node's.
    pub(crate) seeds: Vec<SocketAddr>,
    /// The first advert.
    pub(crate) advert: Advert,
}

impl Gossip {
    /// Starts the gossip task on `transport`, which is opened exactly once.
    ///
    /// # Errors
    /// [`GossipError`] when the transport cannot be opened. Nothing runs then.
    pub(crate) async fn start(config: GossipConfig, transport: &dyn Transport) -> Result<Self, GossipError> {
        let pairs = config.advert.to_pairs();
        let chitchat_config = ChitchatConfig {
            chitchat_id: ChitchatId::new(config.name.as_str(), config.incarnation.0, config.advertise),
            cluster_id: config.cluster.as_str().to_owned(),
            gossip_interval: limits::GOSSIP_INTERVAL,
            listen_addr: config.advertise,
            seed_nodes: config.seeds.iter().map(SocketAddr::to_string).collect(),
            failure_detector_config: FailureDetectorConfig {
                phi_threshold: limits::PHI_THRESHOLD,
                initial_interval: INITIAL_INTERVAL,
                dead_node_grace_period: DEAD_NODE_GRACE,
                ..FailureDetectorConfig::default()
            },
            marked_for_deletion_grace_period: DEAD_NODE_GRACE,
            catchup_callback: None,
            extra_liveness_predicate: None,
        };
        chitchat::spawn_chitchat(chitchat_config, pairs, transport)
            .await
            .map(|handle| Self { handle })
            .map_err(|error| GossipError::Start { reason: format!("{error:#}") })
    }

    /// Says `advert` from now on. Only keys whose value changed are sent.
    pub(crate) async fn advertise(&self, advert: &Advert) {
        let pairs = advert.to_pairs();
        self.handle.with_chitchat(|chitchat| say(chitchat.self_node_state(), &pairs)).await;
    }

    /// Gossips with whoever is at that address, once and soon.
    pub(crate) fn greet(&self, addr: SocketAddr) {
        // It fails when gossip has ended, and then the node does.
        let _ = self.handle.gossip(addr);
    }

    /// Every member but this one as gossip knows it now, former incarnations included, ordered by
    /// name and incarnation.
    pub(crate) async fn views(&self) -> Vec<GossipView> {
        self.handle.with_chitchat(|chitchat| views(chitchat)).await
    }

    /// Ends when the gossip task does, for whatever reason, and says why. Nothing restarts it: a
    /// node that did not ask for it must stop serving.
    pub(crate) fn terminated(&self) -> impl Future<Output = String> + Send + use<> {
        let ended = self.handle.termination_watcher();
        async move {
            match ended.await {
                Ok(()) => "gossip was shut down".to_owned(),
                Err(error) => format!("{error:#}"),
            }
        }
    }

    /// Stops the gossip task and waits for it. Peers learn of it only by silence: say `left` and
    /// give gossip a few rounds before.
    #[cfg(test)]
    pub(crate) async fn shutdown(self) {
        self.handle.shutdown().await.expect("gossip ran until it was stopped");
    }
}

fn say(own: &mut NodeState, pairs: &[(String, String)]) {
    // chitchat ignores a value that is already set, so that nothing is sent for it.
    for (key, value) in pairs {
        own.set(key, value);
    }
    for key in KEYS {
        if own.contains_key(key) && !pairs.iter().any(|(said, _)| said == key) {
            own.delete(key);
        }
    }
}

fn views(chitchat: &Chitchat) -> Vec<GossipView> {
    let live: HashSet<&ChitchatId> = chitchat.live_nodes().collect();
    let own = chitchat.self_chitchat_id();
    chitchat
        .node_states()
        .iter()
        .filter(|(id, _)| *id != own)
        .filter_map(|(id, state)| view(id, state, live.contains(id)))
        .collect()
}

fn view(id: &ChitchatId, state: &NodeState, live: bool) -> Option<GossipView> {
    let name = match NodeName::new(&*id.node_id) {
        Ok(name) => name,
        Err(error) => {
            debug!(node_id = &*id.node_id, %error, "a member with an invalid name is skipped");
            return None;
        }
    };
    // The id of a member arrives before its pairs do.
    let advert = match state.num_key_values() {
        0 => None,
        _ => Advert::from_pairs(state.key_values())
            .inspect_err(|error| debug!(peer = %name, %error, "an advert is not understood"))
            .ok(),
    };
    Some(GossipView {
        name,
        incarnation: Incarnation(id.generation_id),
        addr: id.gossip_advertise_addr,
        live,
        heartbeat: state.heartbeat().into(),
        advert,
    })
}

/// The mean heartbeat interval that the failure detector assumes of a member it hardly knows.
/// Source: design; two gossip rounds.
const INITIAL_INTERVAL: Duration = Duration::from_secs(1);
/// How long chitchat remembers a silent member. Source: design; as long as the overlay keeps a dead
/// one, because its default of 24 h lets former incarnations fill the digest.
const DEAD_NODE_GRACE: Duration = limits::PURGE_AFTER;

/// Why gossip did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GossipError {
    /// The transport could not be opened, most likely because it was opened before.
    #[error("gossip did not start: {reason}")]
    Start {
        /// What the transport says.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use chitchat::transport::ChannelTransport;

    use super::*;
    use crate::membership::member::AdvertState;

    fn config(name: &str, zone: Option<&str>) -> GossipConfig {
        let advertise = SocketAddr::from(([127, 0, 0, 1], 1));
        GossipConfig {
            cluster: ClusterName::new("test").unwrap(),
            name: NodeName::new(name).unwrap(),
            incarnation: Incarnation(5),
            advertise,
            seeds: Vec::new(),
            advert: Advert {
                state: AdvertState::Joining,
                protocol: 1,
                mesh: advertise,
                http: "127.0.0.1:2".to_owned(),
                zone: zone.map(str::to_owned),
                sessions: 0,
                degraded: false,
                keeps: true,
            },
        }
    }

    async fn said(gossip: &Gossip) -> (u64, Option<Advert>) {
        let read = |chitchat: &mut Chitchat| {
            let own = chitchat.self_node_state();
            (own.max_version(), Advert::from_pairs(own.key_values()).ok())
        };
        gossip.handle.with_chitchat(read).await
    }

    #[tokio::test]
    async fn only_changed_keys_are_said_again() {
        let config = config("n1", Some("a"));
        let mut advert = config.advert.clone();
        let gossip = Gossip::start(config, &ChannelTransport::default()).await.unwrap();
        let (first, _) = said(&gossip).await;
        gossip.advertise(&advert).await;
        assert_eq!(said(&gossip).await, (first, Some(advert.clone())), "nothing changed");
        advert.state = AdvertState::Ready;
        advert.sessions = 7;
        gossip.advertise(&advert).await;
        assert_eq!(said(&gossip).await, (first + 2, Some(advert.clone())));
        advert.zone = None;
        gossip.advertise(&advert).await;
        assert_eq!(said(&gossip).await, (first + 3, Some(advert.clone())));
        gossip.advertise(&advert).await;
        assert_eq!(said(&gossip).await.0, first + 3, "a key that is gone is not removed again");
        gossip.shutdown().await;
    }

    #[tokio::test]
    async fn a_node_does_not_see_itself_and_says_when_gossip_ends() {
        let gossip = Gossip::start(config("n1", None), &ChannelTransport::default()).await.unwrap();
        assert_eq!(gossip.views().await, Vec::new());
        let terminated = gossip.terminated();
        gossip.shutdown().await;
        assert_eq!(terminated.await, "gossip was shut down");
    }

    #[tokio::test]
    async fn an_aborted_gossip_task_is_noticed() {
        let gossip = Gossip::start(config("n1", None), &ChannelTransport::default()).await.unwrap();
        let terminated = gossip.terminated();
        gossip.handle.abort();
        assert!(terminated.await.contains("panicked"));
    }

    #[test]
    fn a_member_with_an_invalid_name_is_skipped() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let state = NodeState::for_test();
        assert_eq!(view(&ChitchatId::new("a/b", 1, addr), &state, true), None);
        let seen = view(&ChitchatId::new("a", 1, addr), &state, true).unwrap();
        assert_eq!((seen.incarnation, seen.live, seen.advert), (Incarnation(1), true, None));
    }
}
