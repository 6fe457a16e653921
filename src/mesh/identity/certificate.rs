//! Certificates of nodes: how one names its node, and how a node with the cluster key signs its own.
//!
//! A certificate carries the name as a URI in its subject alternative names,
//! `pushmesh://<cluster>/<name>`, the way SPIFFE does. The name in the subject is decoration for
//! people who look at a certificate; nothing reads it. Source: RFC 5280, RFC 8410.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SanType, SerialNumber, date_time_ymd,
};
use ring::digest;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use webpki::EndEntityCert;

use super::cluster_key::{DERIVED_BYTES, Root};
use crate::id::{ClusterName, IdError, NodeName};

/// The URI by which a certificate names its node.
pub(super) fn node_uri(cluster: &ClusterName, name: &NodeName) -> String {
    format!("{SCHEME}{cluster}/{name}")
}

/// The node of `cluster` that a certificate names: exactly one URI of ours, of this cluster, with
/// a valid name. The caller has checked who signed it.
pub(super) fn named_node(
    certificate: &EndEntityCert<'_>,
    cluster: &ClusterName,
) -> Result<NodeName, NameError> {
    let mut uris = certificate.valid_uri_names().filter_map(|uri| uri.strip_prefix(SCHEME));
    let path = uris.next().ok_or(NameError::Missing)?;
    // With two names a peer would choose who it is after every check of who it is.
    if uris.next().is_some() {
        return Err(NameError::Several);
    }
    let (found, name) = path.split_once('/').ok_or(NameError::Missing)?;
    if found != cluster.as_str() {
        return Err(NameError::OtherCluster { found: found.to_owned(), expected: cluster.clone() });
    }
    NodeName::new(name).map_err(NameError::Invalid)
}

/// Why a certificate, although properly signed, names no node of this cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// It has no URI of ours.
    #[error("it names no node: it needs the URI {SCHEME}CLUSTER/NAME in its subject alternative names")]
    Missing,
    /// It has more than one URI of ours.
    #[error("it names several nodes: it needs exactly one URI {SCHEME}CLUSTER/NAME")]
    Several,
    /// It belongs to another cluster.
    #[error("it names a node of the cluster {found:?}, not of {expected}; use a certificate of this cluster")]
    OtherCluster {
        /// The cluster that it names.
        found: String,
        /// The cluster of this node.
        expected: ClusterName,
    },
    /// The name of the node breaks the rules of names.
    #[error("it names no valid node: {0}")]
    Invalid(IdError),
}

/// The authority of a cluster, derived from the cluster key and the same on every node.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// Derives the authority of `cluster` from the root of its key.
    pub(super) fn derive(root: &Root, cluster: &ClusterName) -> Result<Self, rcgen::Error> {
        let seed = root.derive(PURPOSE_AUTHORITY, &[cluster.as_str()]);
        let pkcs8 = [&PKCS8_PREFIX[..], &seed[..]].concat();
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), &PKCS_ED25519)?;

        // Verifiers compare the issuer's name byte by byte: a change to it splits the cluster.
        let mut params = params("pushmesh cluster authority", key.public_key_raw());
        params.distinguished_name.push(DnType::OrganizationName, cluster.as_str());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority's own certificate: the trust anchor.
    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A fresh key and a certificate that names `name` as a node of `cluster`.
    pub(super) fn issue(
        &self,
        cluster: &ClusterName,
        name: &NodeName,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let mut params = params(name.as_str(), key.public_key_raw());
        params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(node_uri(cluster, name))?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // One certificate for both directions: every node dials and is dialled.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((certificate, key))
    }
}

/// The time at which derived certificates are verified, whatever the clock of the machine says:
/// 2070-01-01, in the middle of their validity. Who may join is decided by who has the key; a
/// machine that starts with its clock at 1970 has it as well.
pub(super) fn derived_validation_time() -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(DERIVED_VALIDATION_SECS))
}

/// What the authority and the nodes have in common.
fn params(common_name: &str, public_key: &[u8]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    params.key_identifier_method = KeyIdMethod::Sha256;
    params.serial_number = Some(serial_number(public_key));
    params
}

/// Unique to the key, positive, and always of the same length: rcgen's own has leading zeros now
/// and then, which DER drops, and the sizes of packets would differ between runs.
fn serial_number(public_key: &[u8]) -> SerialNumber {
    let mut bytes = [1; SERIAL_BYTES];
    bytes[1..].copy_from_slice(&digest::digest(&digest::SHA256, public_key).as_ref()[..SERIAL_BYTES - 1]);
    SerialNumber::from_slice(&bytes)
}

/// How the URI of a node begins.
const SCHEME: &str = "pushmesh://";

/// Purpose of the authority's key in [`Root::derive`]. A change makes a new cluster.
const PURPOSE_AUTHORITY: &str = "certificate authority ed25519";

/// PKCS#8 version 1 of an Ed25519 private key, up to the seed. Source: RFC 8410 section 7.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Bytes of a serial number; RFC 5280 section 4.1.2.2 allows 20.
const SERIAL_BYTES: usize = 16;

/// Seconds from 1970 to 2070: 100 years, 25 of them leap years.
const DERIVED_VALIDATION_SECS: u64 = (100 * 365 + 25) * 86_400;

const _: () = assert!(PKCS8_PREFIX[15] as usize == DERIVED_BYTES);
