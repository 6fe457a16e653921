//! What a node shows in handshakes and whom it believes, both as they are now: TLS asks anew in each handshake.

use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, PeerIncompatible, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::verifier::PeerVerifier;
use crate::current::Current;

/// The certificate of a node with its key, and the rule by which it believes its peers.
pub(super) struct Credentials(Current<Held>);

struct Held {
    certified: Arc<CertifiedKey>,
    verifier: Arc<PeerVerifier>,
}

impl Credentials {
    pub(super) fn new(certified: CertifiedKey, verifier: PeerVerifier) -> Arc<Self> {
        Arc::new(Self(Current::new(Held { certified: Arc::new(certified), verifier: Arc::new(verifier) })))
    }

    /// Those of `fresh` are used from the next handshake on.
    pub(super) fn replace(&self, fresh: &Self) {
        let Held { certified, verifier } = &*fresh.0.get();
        self.0.replace(Held { certified: Arc::clone(certified), verifier: Arc::clone(verifier) });
    }

    /// Whether a chain, the node's own certificate first, proves a node.
    pub(super) fn trusts(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        chain.split_first().is_some_and(|(certificate, intermediates)| {
            self.verifier().verify(certificate, intermediates, now).is_ok()
        })
    }

    /// Who is trusted, in the order in which they were named.
    pub(super) fn trusted(&self) -> Vec<String> {
        self.verifier().trusted()
    }

    /// The rule that is in effect.
    pub(super) fn verifier(&self) -> Arc<PeerVerifier> {
        Arc::clone(&self.0.get().verifier)
    }

    /// What is shown now.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.get().certified)
    }
}

impl ResolvesClientCert for Credentials {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Credentials {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

impl ServerCertVerifier for Credentials {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier().verify(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.verifier().algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier().algorithms().supported_schemes()
    }
}

/// Signatures count alike, whichever side dialled.
impl ClientCertVerifier for Credentials {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    /// None: a peer has one certificate to show, and a stranger need not learn whom we trust.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verifier().verify(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}

/// Whom it trusts: the rest is secret or long.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("trusted", &self.trusted()).finish_non_exhaustive()
    }
}
