//! Whose certificates a client over TLS trusts: those that it is given, or those of the machine.
//!
//! A client that speaks plain http besides trusts nobody until it needs to: it must work on a machine without any certificate.

use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// A client that trusts `roots`. The provider is named, because a process may have another one.
pub(crate) fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the protocol versions that rustls calls safe")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The certificates of `pem`.
///
/// # Errors
/// One of them cannot be read; or there is none.
pub(crate) fn of_pem(pem: &str) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(io::Error::other("it holds no PEM certificate (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(roots)
}

/// Those of the machine, as they are now. Blocks while they are read; one that cannot be read is passed over.
///
/// # Errors
/// There is none.
pub(crate) fn of_machine() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or(String::new(), |error| format!(": {error}"));
        return Err(io::Error::other(format!("this machine has no trusted certificates{why}")));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_read_whole_or_not_at_all() {
        let pem = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
        assert!(of_pem(&format!("{pem}{pem}")).is_ok_and(|roots| roots.len() == 2));
        let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        for none in ["", "text", broken, &format!("{pem}{broken}")] {
            assert!(of_pem(none).is_err(), "{none}");
        }
    }
}
