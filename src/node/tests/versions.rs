//! Nodes of the newest version of the mesh protocol and of the one before, in one cluster.

use futures_util::StreamExt;

use super::harness::{connect, until, within};
use crate::config::{Config, MeshVersion};
use crate::id::{ClusterName, NodeName, UserId};
use crate::mesh::frame::Features;
use crate::node::Node;
use crate::push::{Payload, Target};
use crate::wire::Wire;

async fn start(name: &str, cluster: &str, version: MeshVersion, peers: Vec<String>) -> Node {
    let config = Config {
        cluster: ClusterName::new(cluster).unwrap(),
        mesh_version: version,
        peers,
        ..Config::dev(NodeName::new(name).unwrap())
    };
    let wire = Wire::bind(config.listen, config.mesh_listen).await.unwrap();
    let node = Node::start(config, wire).await.unwrap();
    within("the node is ready", node.ready()).await;
    node
}

#[tokio::test]
async fn two_nodes_speak_the_newest_version_that_both_know() {
    let versions = [MeshVersion::V4, MeshVersion::V5];
    for (accepts, dials) in versions.into_iter().flat_map(|a| versions.map(|b| (a, b))) {
        let cluster = format!("versions-{accepts}-{dials}");
        let one = start("one", &cluster, accepts, Vec::new()).await;
        let two = start("two", &cluster, dials, vec![one.mesh_addr().to_string()]).await;
        for (node, peer) in [(&one, "two"), (&two, "one")] {
            let link = || node.shared.links.get(&NodeName::new(peer).unwrap());
            until("they are linked", || link().is_some()).await;
            let link = link().unwrap();
            let version = accepts.min(dials);
            let features = if version == MeshVersion::V5 { Features::OWN } else { Features::NONE };
            assert_eq!((link.version(), link.features()), (version, features));
        }
        for (owner, pusher, user) in [(&one, &two, "a"), (&two, &one, "b")] {
            let mut client = connect(owner, user).await;
            let target = || Target::User(UserId::new(user).unwrap());
            until("the session is seen", || {
                pusher.shared.replica.user(&UserId::new(user).unwrap()).len() == 1
            })
            .await;
            let report = pusher.handle().push(target(), Payload::text("hello"), None).await.unwrap();
            assert_eq!(report.delivered(), 1, "{cluster}: {report:?}");
            let message = within("a message", client.next()).await.unwrap().unwrap();
            assert_eq!(message.into_text().unwrap(), "hello");
        }
    }
}
