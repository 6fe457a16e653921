//! Who may join: those with the cluster's key, or with a certificate of the operator's authority.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use serde_json::json;

use crate::harness::{Keys, Launch, Node, eventually, unique};

/// Checks that `intruder`, which was given `node` as its peer, is not in the cluster of `node`: it
/// is not seen, sees nobody, and its pushes reach nobody. `keys` are those of `node`.
async fn assert_outside(node: &Node, intruder: Launch, keys: &Keys) {
    let mut client = node.dial().token(&keys.token("victim")).device("d").open().await;
    let intruder = intruder.flags(["--allow-alone"]).peers([node]).start().await;
    // It has tried for seconds by then, and starts alone.
    intruder.ready().await;
    intruder.process.says("none of the peers answers").await;
    assert_eq!(node.get("/v1/nodes").await.json["nodes"].as_array().map(Vec::len), Some(1));
    assert_eq!(intruder.get("/v1/nodes").await.json["nodes"].as_array().map(Vec::len), Some(1));
    assert_eq!(intruder.stats().await["sessions"], 0);
    assert_eq!(intruder.sessions_of("victim").await, []);
    assert_eq!(intruder.push("victim", "stolen").await.error(), (404, "no_session"));
    let all = intruder.post("/v1/broadcast", "stolen").await;
    assert_eq!((&all.json["delivered"], all.json["nodes"].as_array().map(Vec::len)), (&json!(0), Some(1)));
    eventually("the refusals are counted", async || {
        let refused = node.metric("pushmesh_mesh_handshakes_refused_total{reason=\"identity\"}").await;
        if refused.is_some_and(|count| count > 0.0) { Ok(()) } else { Err(refused) }
    })
    .await;
    assert_eq!(node.push("victim", "mine").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "mine", "nothing of the intruder arrived");
}

#[tokio::test]
async fn a_node_with_another_key_stays_outside() {
    let (keys, other) = tokio::join!(Keys::generate(), Keys::generate());
    let cluster = unique();
    let node = Launch::new(&cluster, "n1").flags(keys.flags()).key(&keys.api).start().await;
    node.ready().await;
    let intruder = Launch::new(&cluster, "n2").flags(other.flags()).key(&other.api);
    assert_outside(&node, intruder, &keys).await;
}

#[tokio::test]
async fn a_node_of_another_cluster_stays_outside_although_it_has_the_key() {
    let keys = Keys::generate().await;
    let node = Launch::new(&unique(), "n1").flags(keys.flags()).key(&keys.api).start().await;
    node.ready().await;
    let intruder = Launch::new(&unique(), "n2").flags(keys.flags()).key(&keys.api);
    assert_outside(&node, intruder, &keys).await;
}

#[tokio::test]
async fn a_dev_node_stays_outside_of_a_cluster_with_a_key() {
    let keys = Keys::generate().await;
    let cluster = unique();
    let node = Launch::new(&cluster, "n1").flags(keys.flags()).key(&keys.api).start().await;
    node.ready().await;
    assert_outside(&node, Launch::dev(&cluster, "n2"), &keys).await;
}

/// An authority as an operator runs one.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate can be made").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes the files of the node that `uri` names, and gives the flags for them.
    pub(crate) fn issue(&self, keys: &Keys, file: &str, uri: &str) -> Vec<String> {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::default();
        params.subject_alt_names =
            vec![SanType::URI(Ia5String::try_from(uri.to_owned()).expect("a URI is ASCII"))];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate can be made");
        let mut flags = keys.access();
        flags.extend(["--hash-key-file".to_owned(), keys.flag("hash.key")]);
        for (flag, pem) in [("ca", self.pem.clone()), ("cert", cert.pem()), ("key", key.serialize_pem())] {
            flags.extend([format!("--mesh-tls-{flag}"), keys.write(&format!("{file}.{flag}.pem"), &pem)]);
        }
        flags
    }
}

#[tokio::test]
async fn nodes_with_certificates_of_the_operators_authority_form_a_cluster() {
    let keys = Keys::generate().await;
    let authority = Authority::new("operator");
    let cluster = unique();
    let uri = |name: &str| format!("pushmesh://{cluster}/{name}");
    let first = Launch::new(&cluster, "n1").flags(authority.issue(&keys, "n1", &uri("n1"))).key(&keys.api);
    let first = first.start().await;
    let second = Launch::new(&cluster, "n2").flags(authority.issue(&keys, "n2", &uri("n2"))).key(&keys.api);
    let second = second.peers([&first]).start().await;
    second.ready().await;
    let mut client = first.dial().token(&keys.token("u")).device("d").open().await;
    second.shows("u", &[("d", "n1")]).await;
    assert_eq!(second.push("u", "hello").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "hello");
}

#[tokio::test]
async fn a_node_of_another_authority_stays_outside_although_its_names_are_right() {
    let keys = Keys::generate().await;
    let cluster = unique();
    let uri = |name: &str| format!("pushmesh://{cluster}/{name}");
    let (authority, other) = (Authority::new("operator"), Authority::new("operator"));
    let node = Launch::new(&cluster, "n1").flags(authority.issue(&keys, "n1", &uri("n1"))).key(&keys.api);
    let node = node.start().await;
    node.ready().await;
    let intruder = Launch::new(&cluster, "n2").flags(other.issue(&keys, "n2", &uri("n2"))).key(&keys.api);
    assert_outside(&node, intruder, &keys).await;
}

#[tokio::test]
async fn a_node_does_not_start_with_a_certificate_that_names_another() {
    let keys = Keys::generate().await;
    let authority = Authority::new("operator");
    let cluster = unique();
    let cases = [
        (format!("pushmesh://{cluster}/n3"), "n3"),
        ("pushmesh://elsewhere/n2".to_owned(), "elsewhere"),
        ("https://example.org/n2".to_owned(), "pushmesh://"),
    ];
    for (uri, said) in cases {
        let mut args = ["node", "--cluster", &cluster, "--name", "n2", "--listen", "127.0.0.1:0"]
            .map(str::to_owned)
            .to_vec();
        args.extend(["--mesh-listen".to_owned(), "127.0.0.1:0".to_owned()]);
        args.extend(authority.issue(&keys, "n2", &uri));
        let refused = crate::harness::pushmesh(&args).await;
        assert_ne!(refused.code, 0);
        assert!(
            refused.stderr.contains("--mesh-tls-cert") && refused.stderr.contains(said),
            "{}",
            refused.stderr
        );
        assert_eq!(refused.stdout, "", "it never listened");
    }
}

#[tokio::test]
async fn a_node_with_an_authority_of_the_operators_own_does_not_start_without_a_hash_key() {
    let keys = Keys::generate().await;
    let (authority, cluster) = (Authority::new("operator"), unique());
    let mut args = ["node", "--cluster", &cluster, "--name", "n1", "--listen", "127.0.0.1:0"]
        .map(str::to_owned)
        .to_vec();
    args.extend(["--mesh-listen".to_owned(), "127.0.0.1:0".to_owned()]);
    let files = authority.issue(&keys, "n1", &format!("pushmesh://{cluster}/n1"));
    let without: Vec<_> = files.iter().filter(|flag| !flag.contains("hash")).cloned().collect();
    let refused = crate::harness::pushmesh(&[args.clone(), without].concat()).await;
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("pushmesh keygen --kind hash"), "{}", refused.stderr);
    let wrong = files
        .iter()
        .map(|flag| if flag.contains("hash.key") { keys.flag("cluster.key") } else { flag.clone() });
    let refused = crate::harness::pushmesh(&[args, wrong.collect()].concat()).await;
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("--hash-key-file"), "{}", refused.stderr);
}
