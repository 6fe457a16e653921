//! TLS of the HTTP face: from PEM to a server's configuration.
//!
//! TLS 1.3, and 1.2 where the operator asks for it, with ring named explicitly, because a program that embeds a node may have another
//! default. Clients are not asked for certificates: they have tokens. The certificate may be replaced while the node runs; connections
//! that there are go on with the one that they were shown.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{HttpTls, TlsVersion};
use crate::current::Current;

/// Why https cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpTlsError {
    /// The certificates cannot be read.
    #[error("--tls-cert is not PEM: {0}; it starts with `-----BEGIN CERTIFICATE-----`")]
    Certificate(rustls_pki_types::pem::Error),
    /// There are none.
    #[error("--tls-cert holds no certificate: give the PEM file with the chain, the server's own first")]
    NoCertificate,
    /// The key cannot be read.
    #[error("--tls-key holds no private key that can be read: {0}; give it as PEM without a password")]
    Key(rustls_pki_types::pem::Error),
    /// The two do not go together, or are of a kind that is not supported.
    #[error(
        "--tls-cert and --tls-key cannot be used together: {0}; is the key the one of the first certificate?"
    )]
    Pair(rustls::Error),
}

/// The certificate that new connections are shown.
#[derive(Debug)]
pub(crate) struct Certificate(Current<CertifiedKey>);

impl Certificate {
    /// The one of a configuration.
    ///
    /// # Errors
    /// [`HttpTlsError`] says which file to look at.
    pub(crate) fn new(tls: &HttpTls) -> Result<Self, HttpTlsError> {
        Ok(Self(Current::new(certified(tls)?)))
    }

    /// New connections are shown this one.
    ///
    /// # Errors
    /// [`HttpTlsError`] says which file to look at; the one before stays.
    pub(crate) fn replace(&self, tls: &HttpTls) -> Result<(), HttpTlsError> {
        self.0.replace(certified(tls)?);
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.get())
    }
}

fn certified(tls: &HttpTls) -> Result<CertifiedKey, HttpTlsError> {
    let chain = CertificateDer::pem_slice_iter(tls.cert_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(HttpTlsError::Certificate)?;
    if chain.is_empty() {
        return Err(HttpTlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(tls.key_pem.expose().as_bytes()).map_err(HttpTlsError::Key)?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(HttpTlsError::Pair)
}

/// The configuration of a server with that certificate, which speaks no version before `oldest`.
pub(crate) fn server_config(certificate: &Arc<Certificate>, oldest: TlsVersion) -> Arc<ServerConfig> {
    let versions: &[_] = match oldest {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)
        .expect("ring supports both versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(certificate) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn error(cert: &str, key: &str) -> String {
        let tls = HttpTls { cert_pem: cert.to_owned(), key_pem: Secret::new(key) };
        Certificate::new(&tls).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_certificate_with_its_key_is_served() {
        let (cert, key) = pair();
        assert_eq!(error(&cert, &key), "");
    }

    #[test]
    fn one_that_is_of_no_use_does_not_replace_another() {
        let served = |(cert, key): &(String, String)| HttpTls {
            cert_pem: cert.clone(),
            key_pem: Secret::new(key.clone()),
        };
        let (first, second) = (pair(), pair());
        let certificate = Certificate::new(&served(&first)).unwrap();
        let shown = || certificate.0.get().cert[0].clone();
        let before = shown();
        assert!(certificate.replace(&served(&(second.0.clone(), first.1.clone()))).is_err());
        assert_eq!(shown(), before);
        certificate.replace(&served(&second)).unwrap();
        assert_ne!(shown(), before);
    }

    #[test]
    fn each_mistake_names_the_file_to_look_at() {
        let (cert, key) = pair();
        let (_, other_key) = pair();
        assert!(error("", &key).starts_with("--tls-cert holds no certificate"));
        assert!(error(&cert, "").starts_with("--tls-key holds no private key"));
        assert!(error(&key, &key).starts_with("--tls-cert holds no certificate"));
        assert!(error(&cert, &other_key).starts_with("--tls-cert and --tls-key cannot be used together"));
        let broken = cert.replace("MII", "!!!");
        assert!(error(&broken, &key).starts_with("--tls-cert is not PEM"), "{}", error(&broken, &key));
    }
}
