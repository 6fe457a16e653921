//! Identities from the files of an operator with an authority of its own.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType, SignatureAlgorithm, date_time_ymd,
};

use super::*;

/// An operator's authority, and the kind of keys that it and its nodes have.
pub(super) struct Operator {
    keys: &'static SignatureAlgorithm,
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
}

impl Operator {
    /// With the keys that an authority usually has.
    pub(super) fn new() -> Self {
        Self::with_keys(&PKCS_ECDSA_P256_SHA256)
    }

    pub(super) fn with_keys(keys: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(keys).unwrap();
        let params = authority_params("our own authority");
        let ca_pem = params.self_signed(&key).unwrap().pem();
        Self { keys, issuer: Issuer::new(params, key), ca_pem }
    }

    /// What an operator gives to a node: authority, certificate, key.
    pub(super) fn files(&self, in_cluster: &str, name: &str) -> (String, String, String) {
        let (cert, key) = self.issue(&node_params(&[&format!("pushmesh://{in_cluster}/{name}")]));
        (self.ca_pem.clone(), cert, key)
    }

    pub(super) fn node(&self, in_cluster: &str, name: &str) -> Identity {
        let (ca, cert, key) = self.files(in_cluster, name);
        let hash_key = HashKey::parse(HASH_KEY).unwrap();
        Identity::from_files(&cluster(in_cluster), &node(name), [&ca, &cert, &key], &hash_key).unwrap()
    }

    fn issue(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate_for(self.keys).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// What the node n1 of the cluster shop says to a certificate with these parameters.
    fn refusal(&self, params: &CertificateParams) -> String {
        let (cert, key) = self.issue(params);
        refusal(&self.ca_pem, &cert, &key)
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn node_params(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = uris.iter().map(|&uri| SanType::URI(uri.try_into().unwrap())).collect();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// What certificates may be good for without being good for a node.
fn not_both() -> [Vec<ExtendedKeyUsagePurpose>; 5] {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
    [vec![], vec![ServerAuth], vec![ClientAuth], vec![CodeSigning], vec![Any]]
}

/// A node of the cluster shop.
pub(super) fn from_files(name: &str, ca: &str, cert: &str, key: &str) -> Result<Identity, IdentityError> {
    let hash_key = HashKey::parse(HASH_KEY).unwrap();
    Identity::from_files(&cluster("shop"), &node(name), [ca, cert, key], &hash_key)
}

pub(super) const HASH_KEY: &str = "pmh1_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn refusal(ca: &str, cert: &str, key: &str) -> String {
    from_files("n1", ca, cert, key).unwrap_err().to_string()
}

#[tokio::test]
async fn two_nodes_with_certificates_of_one_authority_know_each_other_by_name() {
    let operator = Operator::new();
    let (n1, n2) = (operator.node("shop", "n1"), operator.node("shop", "n2"));
    let (accepted, dialed, _endpoints) = link(&n1, &n2).await;
    round_trip(&dialed, &accepted).await.unwrap();
    assert_eq!(n1.peer_name(&accepted).unwrap(), node("n2"));
    assert_eq!(n2.peer_name(&dialed).unwrap(), node("n1"));
}

#[tokio::test]
async fn a_chain_over_an_intermediate_authority_works() {
    let operator = Operator::new();
    let key = KeyPair::generate_for(operator.keys).unwrap();
    let params = authority_params("an authority for one site");
    let intermediate_pem = params.signed_by(&key, &operator.issuer).unwrap().pem();
    let site = Operator { keys: operator.keys, issuer: Issuer::new(params, key), ca_pem: intermediate_pem };

    let (intermediate, cert, key) = site.files("shop", "n1");
    let chain = format!("{cert}{intermediate}");
    let n1 = from_files("n1", &operator.ca_pem, &chain, &key).unwrap();
    let n2 = operator.node("shop", "n2");
    let (accepted, dialed, _endpoints) = link(&n2, &n1).await;
    round_trip(&dialed, &accepted).await.unwrap();
    assert_eq!(n2.peer_name(&accepted).unwrap(), node("n1"));

    let message = refusal(&operator.ca_pem, &cert, &key);
    assert!(message.contains("intermediate certificates go with the node's own"), "{message}");
}

#[tokio::test]
async fn a_peer_whose_certificate_is_not_for_both_directions_is_refused_and_told_why() {
    let operator = Operator::new();
    let n1 = operator.node("shop", "n1");
    for usages in not_both() {
        let mut params = node_params(&["pushmesh://shop/n2"]);
        params.extended_key_usages = usages.clone();
        let (cert, key) = operator.issue(&params);
        let chain = certificates("mesh-tls-cert", &cert).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let certified = CertifiedKey::from_der(chain, key, &provider()).unwrap();
        let n2 = shows(certified, operator.node("shop", "n2"));
        let (server_says, client_says) = refused(&n1, intruder(Some(&n2))).await;
        let dialler_says = refused_impostor(&n1, &n2).await;
        for says in [server_says, client_says, dialler_says] {
            assert!(says.contains("must have serverAuth and clientAuth"), "{usages:?}: {says}");
        }
    }
}

#[tokio::test]
async fn a_node_of_another_cluster_under_the_same_authority_is_refused() {
    let operator = Operator::new();
    let (shop, bank) = (operator.node("shop", "n1"), operator.node("bank", "n2"));
    let reason = "it names a node of the cluster \"bank\", not of shop";
    let client = refused_impostor(&shop, &bank).await;
    assert!(client.contains(reason), "{client}");
    let (server, _) = refused(&shop, intruder(Some(&bank))).await;
    assert!(server.contains(reason), "{server}");
}

#[tokio::test]
async fn derived_and_operated_authorities_do_not_mix() {
    let operated = Operator::with_keys(&PKCS_ED25519).node("shop", "n1");
    let derived = identity("shop", "n2", KEY);
    for (server, client) in [(&operated, &derived), (&derived, &operated)] {
        let (server_says, _) = refused(server, intruder(Some(client))).await;
        assert!(server_says.contains("UnknownIssuer"), "{server_says}");
    }
}

#[test]
fn a_certificate_with_another_name_is_refused_with_both_ways_out() {
    let (ca, cert, key) = Operator::new().files("shop", "n2");
    assert_eq!(
        refusal(&ca, &cert, &key),
        "--mesh-tls-cert names the node n2; start it with --name n2, or make one for pushmesh://shop/n1"
    );
}

#[test]
fn a_certificate_that_does_not_name_exactly_one_node_of_the_cluster_is_refused() {
    let operator = Operator::new();
    let message = |uris: &[&str]| operator.refusal(&node_params(uris));
    assert_eq!(
        message(&["pushmesh://bank/n1"]),
        "peers would refuse --mesh-tls-cert: it names a node of the cluster \"bank\", not of shop; \
         use a certificate of this cluster"
    );
    let missing = "peers would refuse --mesh-tls-cert: it names no node: \
                   it needs the URI pushmesh://CLUSTER/NAME in its subject alternative names";
    assert_eq!(message(&[]), missing);
    assert_eq!(message(&["https://shop/n1"]), missing);
    assert_eq!(message(&["pushmesh://shop"]), missing);
    let several = "it names several nodes: it needs exactly one URI pushmesh://CLUSTER/NAME";
    assert!(message(&["pushmesh://shop/n1", "pushmesh://shop/n2"]).ends_with(several));
    assert!(message(&["pushmesh://shop/n1", "pushmesh://bank/n1"]).ends_with(several));
    assert!(message(&["pushmesh://shop/n1", "pushmesh://shop/n1"]).ends_with(several));
    for uri in ["pushmesh://shop/", "pushmesh://shop/n1/", "pushmesh://shop/a/n1", "pushmesh://shop/n1?x"] {
        assert!(message(&[uri]).contains("it names no valid node"), "{uri}");
    }
}

#[test]
fn a_certificate_may_carry_names_of_other_kinds_too() {
    let operator = Operator::new();
    let mut params = node_params(&["spiffe://example/pushmesh", "pushmesh://shop/n1"]);
    params.subject_alt_names.push(SanType::DnsName("n1.shop.example".try_into().unwrap()));
    let (cert, key) = operator.issue(&params);
    from_files("n1", &operator.ca_pem, &cert, &key).unwrap();
}

#[test]
fn a_certificate_that_peers_would_refuse_is_refused_at_start() {
    let operator = Operator::new();
    let message = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = node_params(&["pushmesh://shop/n1"]);
        change(&mut params);
        operator.refusal(&params)
    };

    for usages in not_both() {
        let refused = message(&|params| params.extended_key_usages = usages.clone());
        assert!(refused.contains("--mesh-tls-cert: a node dials and is dialled"), "{usages:?}: {refused}");
        assert!(refused.contains("must have serverAuth and clientAuth"), "{usages:?}: {refused}");
    }
    assert!(message(&|params| params.not_after = date_time_ymd(2001, 1, 1)).contains("has expired"));
    assert!(message(&|params| params.not_before = date_time_ymd(3001, 1, 1)).contains("not valid yet"));
    let authority = IsCa::Ca(BasicConstraints::Unconstrained);
    assert!(message(&|params| params.is_ca = authority).contains("belongs to an authority"));

    let (_, cert, key) = Operator::new().files("shop", "n1");
    assert!(refusal(&operator.ca_pem, &cert, &key).contains("its signer is not trusted here"));
}

#[test]
fn a_file_of_the_wrong_kind_is_refused_with_its_flag() {
    let operator = Operator::new();
    let (ca, cert, key) = operator.files("shop", "n1");
    let (_, _, other_key) = operator.files("shop", "n1");
    assert!(refusal("", &cert, &key).starts_with("--mesh-tls-ca holds no PEM certificate"));
    assert!(refusal(&ca, &key, &key).starts_with("--mesh-tls-cert holds no PEM certificate"));
    assert!(refusal(&ca, &cert, &cert).starts_with("--mesh-tls-key holds no PEM private key"));
    assert!(refusal(&ca, &cert, &other_key).starts_with("--mesh-tls-key does not fit the first certificate"));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(refusal(garbage, &cert, &key).starts_with("--mesh-tls-ca cannot be used as an authority"));
    assert!(refusal(&ca, garbage, &key).contains("it cannot be read"));
}

#[test]
fn what_nodes_derive_alike_follows_from_the_hash_key_and_from_nothing_that_users_know() {
    let (one, other) = (Operator::new(), Operator::new());
    let shop = one.node("shop", "n1");
    for alike in [one.node("shop", "n2"), other.node("shop", "n1")] {
        assert_eq!(alike.shared_key("any"), shop.shared_key("any"));
        assert_eq!(alike.keys_check(), shop.keys_check());
    }
    assert_ne!(one.node("bank", "n1").shared_key("any"), shop.shared_key("any"));
    let (ca, cert, key) = one.files("shop", "n1");
    let other_key = HashKey::parse(&HASH_KEY.replace("AAEC", "BAEC")).unwrap();
    let other = Identity::from_files(&cluster("shop"), &node("n1"), [&ca, &cert, &key], &other_key).unwrap();
    assert_ne!(other.shared_key("any"), shop.shared_key("any"));
    assert_ne!(other.keys_check(), shop.keys_check());
    let from_the_name = Root::new(b"shop").child(PURPOSE_SHARED, &["shop"]).derive("any", &[]);
    assert_ne!(shop.shared_key("any"), from_the_name);
}
