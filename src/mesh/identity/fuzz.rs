//! A peer's certificate, as fuzzers feed it.

use std::sync::LazyLock;

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::certificate::{Authority, derived_validation_time, named_node, node_uri};
use super::cluster_key::Root;
use super::verifier::{ED25519_ONLY, PeerVerifier};
use crate::id::ClusterName;

/// Reads a certificate in DER, as a peer shows it: whom it names, and whether that is believed.
pub(in crate::mesh) fn certificate(data: &[u8]) {
    let certificate = CertificateDer::from(data);
    let parsed = EndEntityCert::try_from(&certificate);
    let named = parsed.as_ref().ok().and_then(|parsed| named_node(parsed, &CLUSTER).ok());
    if let (Ok(parsed), Some(name)) = (&parsed, &named) {
        let uri = node_uri(&CLUSTER, name);
        assert!(parsed.valid_uri_names().any(|named| named == uri), "it names that node and no other");
    }
    let verified = VERIFIER.verify(&certificate, &[], derived_validation_time());
    if let Ok(believed) = verified {
        assert_eq!(Some(believed), named, "who is believed is who is named");
    }
}

static CLUSTER: LazyLock<ClusterName> = LazyLock::new(|| ClusterName::new("fuzz").expect("a word is a name"));

static VERIFIER: LazyLock<PeerVerifier> = LazyLock::new(|| {
    let authority = Authority::derive(&Root::new(SECRET), &CLUSTER).expect("a seed makes a key");
    let anchor = [authority.certificate().clone()];
    PeerVerifier::new(CLUSTER.clone(), &anchor, ED25519_ONLY).expect("our own certificate is an anchor")
});

/// What the authority is derived from that the stored certificates are signed by.
const SECRET: &[u8] = b"fuzz";
