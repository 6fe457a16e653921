//! The rule by which a node believes who its peer is, in TLS itself and in both directions.
//!
//! A certificate passes when it leads to the trust anchor and names exactly one node, of our
//! cluster. A peer that does not pass is refused within the handshake, before any stream exists.
//! Which of the cluster's nodes it may be is for the caller to compare afterwards. Names of hosts
//! play no part: nodes are known by their name, wherever they run.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{CertificateError, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, KeyUsage,
    RequiredEkuNotFoundContext,
};

use super::certificate::{NameError, named_node};
use crate::id::{ClusterName, NodeName};

/// Believes certificates of peers, whichever side dialled.
#[derive(Debug, Clone)]
pub(super) struct PeerVerifier {
    cluster: ClusterName,
    anchors: Vec<TrustAnchor<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PeerVerifier {
    /// Trusts the given authorities to name the nodes of `cluster`.
    pub(super) fn new(
        cluster: ClusterName,
        authorities: &[CertificateDer<'static>],
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, webpki::Error> {
        assert!(!authorities.is_empty(), "without an authority nobody could join");
        let anchors = authorities
            .iter()
            .map(|authority| Ok(webpki::anchor_from_trusted_cert(authority)?.to_owned()))
            .collect::<Result<Vec<_>, webpki::Error>>()?;
        Ok(Self { cluster, anchors, algorithms })
    }

    /// What signatures may be made with.
    pub(super) fn algorithms(&self) -> WebPkiSupportedAlgorithms {
        self.algorithms
    }

    /// The authorities, each as a word that tells it from others and gives nothing away.
    pub(super) fn trusted(&self) -> Vec<String> {
        let word = |anchor: &TrustAnchor<'_>| {
            let hash = digest(&SHA256, &anchor.subject_public_key_info);
            hash.as_ref()[..WORD_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
        };
        self.anchors.iter().map(word).collect()
    }

    /// The node that a chain proves: `certificate` leads to an anchor over `intermediates`, is
    /// valid at `now` for both directions, and names one node of the cluster.
    pub(super) fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<NodeName, RefusedCertificate> {
        let certificate = EndEntityCert::try_from(certificate).map_err(RefusedCertificate::Unreadable)?;
        certificate
            .verify_for_usage(
                self.algorithms.all,
                &self.anchors,
                intermediates,
                now,
                BothDirections::default(),
                None,
                None,
            )
            .map_err(RefusedCertificate::Chain)?;
        named_node(&certificate, &self.cluster).map_err(RefusedCertificate::Name)
    }
}

/// Demands both purposes of a node's certificate, because each node dials and is dialled, so that it cannot
/// be had by a certificate that the authority made for something else. An authority on the way to the anchor
/// may leave them out, and then passes both on; the ready-made rules of webpki allow that for the node too.
#[derive(Default)]
struct BothDirections {
    /// webpki asks first for the certificate that is to be verified, then for those above it.
    node_passed: Cell<bool>,
}

impl ExtendedKeyUsageValidator for BothDirections {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let (mut server, mut client, mut present) = (false, false, Vec::new());
        for purpose in purposes {
            let purpose = purpose?;
            server |= purpose == KeyPurposeId::new(SERVER_AUTH);
            client |= purpose == KeyPurposeId::new(CLIENT_AUTH);
            present.push(purpose.to_decoded_oid());
        }
        let may_be_absent = self.node_passed.get();
        if server && client || present.is_empty() && may_be_absent {
            self.node_passed.set(true);
            return Ok(());
        }
        let required = if server { KeyUsage::client_auth() } else { KeyUsage::server_auth() };
        Err(webpki::Error::RequiredEkuNotFoundContext(RequiredEkuNotFoundContext { required, present }))
    }
}

/// Why a certificate proves no node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefusedCertificate {
    /// It cannot be parsed.
    #[error("it cannot be read ({0}); make it again as an X.509 version 3 certificate")]
    Unreadable(webpki::Error),
    /// It does not lead to a trusted authority, or is not valid for this use or at this time.
    #[error("{}", chain_problem(.0))]
    Chain(webpki::Error),
    /// It names no node of the cluster.
    #[error(transparent)]
    Name(NameError),
}

/// What is wrong with a chain and what to do about it.
fn chain_problem(error: &webpki::Error) -> String {
    match error {
        error if is_foreign(error) => {
            "its signer is not trusted here: nodes of a cluster share one cluster key \
             or one authority, and intermediate certificates go with the node's own"
                .to_owned()
        }
        webpki::Error::CertExpired { .. } => {
            "it has expired: renew it, or correct this machine's clock".to_owned()
        }
        webpki::Error::CertNotValidYet { .. } => {
            "it is not valid yet: correct this machine's clock, or wait".to_owned()
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => {
            "a node dials and is dialled: its extended key usage must have serverAuth and clientAuth"
                .to_owned()
        }
        webpki::Error::CaUsedAsEndEntity => {
            "it belongs to an authority: a node needs a certificate of its own, with CA:FALSE".to_owned()
        }
        other => format!("it is refused ({other}); make it again"),
    }
}

/// Whether the signer is none of the anchors. An authority of the same name with another key, which
/// is what a wrong cluster key gives, shows as a wrong signature.
fn is_foreign(error: &webpki::Error) -> bool {
    matches!(error, webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey)
}

/// The alert that the peer gets: its operator learns the kind of problem from it.
impl From<RefusedCertificate> for rustls::Error {
    fn from(refused: RefusedCertificate) -> Self {
        let error = match &refused {
            RefusedCertificate::Unreadable(_) => CertificateError::BadEncoding,
            RefusedCertificate::Chain(error) if is_foreign(error) => CertificateError::UnknownIssuer,
            RefusedCertificate::Chain(webpki::Error::CertExpired { .. }) => CertificateError::Expired,
            RefusedCertificate::Chain(webpki::Error::CertNotValidYet { .. }) => CertificateError::NotValidYet,
            RefusedCertificate::Chain(_) | RefusedCertificate::Name(_) => {
                CertificateError::Other(OtherError(Arc::new(InWords(refused.to_string()))))
            }
        };
        rustls::Error::InvalidCertificate(error)
    }
}

/// rustls writes foreign errors as `Debug` does, into its own messages and into the word that the peer gets.
struct InWords(String);

impl fmt::Debug for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InWords {}

/// Bytes of the hash of an authority's key that name it in the log.
const WORD_BYTES: usize = 4;

/// The purpose of a TLS server, as DER has it. Source: RFC 5280 section 4.2.1.12, 1.3.6.1.5.5.7.3.1.
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
/// The purpose of a TLS client, likewise.
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// Ed25519 alone: what a derived authority and its nodes use, and signatures of constant length.
pub(super) static ED25519_ONLY: WebPkiSupportedAlgorithms =
    WebPkiSupportedAlgorithms { all: ED25519, mapping: &[(SignatureScheme::ED25519, ED25519)] };

static ED25519: &[&dyn SignatureVerificationAlgorithm] = &[webpki::ring::ED25519];
