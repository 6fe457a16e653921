//! Reading the files that flags name: keys, secrets and certificates.
//!
//! Each reader checks what it can check without the part that will use the content, so that a
//! wrong file is reported at start with its flag. Content never appears in an error or a log.

use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::ConfigError;
use crate::config::Secret;
use crate::text_file;
use crate::token::{KeySet, is_ed25519_public_key};

/// The text of a file.
pub(super) fn read(flag: &'static str, path: &Path) -> Result<String, ConfigError> {
    text_file::read(path).map_err(|source| ConfigError::Unreadable { flag, path: path.to_owned(), source })
}

/// The text of a file that nobody else on the machine should read.
fn read_secret(flag: &'static str, path: &Path) -> Result<String, ConfigError> {
    let text = read(flag, path)?;
    warn_if_others_can_read(path);
    Ok(text)
}

/// A file that holds nothing but one secret of at least `bytes_min` bytes; newlines at its end,
/// which editors and `echo` add, do not belong to it.
pub(super) fn secret(flag: &'static str, path: &Path, bytes_min: usize) -> Result<Secret, ConfigError> {
    let text = read_secret(flag, path)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.len() < bytes_min {
        let problem = format!("holds {} bytes; a secret has at least {bytes_min}", secret.len());
        return Err(content(flag, path, problem));
    }
    Ok(Secret::new(secret))
}

/// API keys: one a line, `#` starts a comment line.
pub(super) fn api_keys(flag: &'static str, path: &Path) -> Result<Vec<Secret>, ConfigError> {
    let text = read_secret(flag, path)?;
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let key = line.trim();
        if key.is_empty() || key.starts_with('#') {
            continue;
        }
        let number = index + 1;
        if key.len() < API_KEY_BYTES_MIN {
            let problem = format!(
                "has a key of {} bytes on line {number}; an API key has at least {API_KEY_BYTES_MIN}: \
                 make one with `pushmesh keygen --kind api`",
                key.len()
            );
            return Err(content(flag, path, problem));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let problem = format!("has a key on line {number} with a space or a non-ASCII character");
            return Err(content(flag, path, problem));
        }
        keys.push(Secret::new(key));
    }
    if keys.is_empty() {
        return Err(content(flag, path, "holds no key: write one a line".to_owned()));
    }
    Ok(keys)
}

/// One or more PEM certificates.
pub(super) fn certificates(flag: &'static str, path: &Path) -> Result<String, ConfigError> {
    let text = read(flag, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(text),
        _ => Err(content(flag, path, "holds no PEM certificate (-----BEGIN CERTIFICATE-----)".to_owned())),
    }
}

/// A PEM private key.
pub(super) fn private_key(flag: &'static str, path: &Path) -> Result<Secret, ConfigError> {
    let text = read_secret(flag, path)?;
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(_) => Ok(Secret::new(text)),
        Err(_) => {
            Err(content(flag, path, "holds no PEM private key (-----BEGIN PRIVATE KEY-----)".to_owned()))
        }
    }
}

/// A PEM Ed25519 public key.
pub(super) fn ed25519_public_key(flag: &'static str, path: &Path) -> Result<String, ConfigError> {
    let text = read(flag, path)?;
    if is_ed25519_public_key(&text) {
        return Ok(text);
    }
    let problem = "is not a PEM Ed25519 public key: `openssl pkey -in PRIVATE.pem -pubout` prints it";
    Err(content(flag, path, problem.to_owned()))
}

/// A JSON Web Key Set with a key that checks tokens.
pub(super) fn key_set(flag: &'static str, path: &Path) -> Result<String, ConfigError> {
    let text = read(flag, path)?;
    match KeySet::parse(text.as_bytes()) {
        Ok(_) => Ok(text),
        Err(error) => Err(content(flag, path, error.to_string())),
    }
}

fn content(flag: &'static str, path: &Path, problem: String) -> ConfigError {
    ConfigError::Content { flag, path: path.to_owned(), problem }
}

/// A warning and no refusal. What a group may read counts where the file is this user's own: orchestrators give secrets of another user to
/// the process by a group, and the operator cannot change that.
#[cfg(unix)]
fn warn_if_others_can_read(path: &Path) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    if let Ok(metadata) = std::fs::metadata(path) {
        let mode = metadata.permissions().mode() & 0o777;
        let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
        let others = if is_own { 0o077 } else { 0o007 };
        if mode & others != 0 {
            tracing::warn!(
                file = %path.display(),
                mode = format_args!("{mode:03o}"),
                "other users of this machine can read a secret; chmod 600 it"
            );
        }
    }
}

#[cfg(not(unix))]
fn warn_if_others_can_read(_path: &Path) {}

/// Bytes of an API key. Source: 128 bits, the least that is not worth guessing at.
const API_KEY_BYTES_MIN: usize = 16;

/// Bytes of a secret for HS256. Source: RFC 7518 section 3.2, no shorter than the hash.
pub(super) const JWT_SECRET_BYTES_MIN: usize = 32;
