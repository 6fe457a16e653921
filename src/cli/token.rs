//! `pushmesh token`: signs a client token, for trying things out and for shell scripts. A backend
//! signs its own with any JWT library; the claims are in docs/PROTOCOL.md.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::exit::Exit;
use super::output::print_line;
use crate::config::{Secret, duration};
use crate::id::{DeviceId, LoginId, UserId};
use crate::text_file;
use crate::token::{Claims, sign_eddsa, sign_hs256};
use crate::wire::{Clock, SystemClock};

/// The flags of `pushmesh token`.
#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// The user that the token is for
    #[arg(long, value_name = "USER")]
    user: UserId,
    /// Bind the token to one device
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceId>,
    /// The login that it is issued for: DELETE /v1/users/USER?sid=LOGIN closes its sessions
    #[arg(long, value_name = "LOGIN")]
    sid: Option<LoginId>,
    /// How long it is good
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = ttl)]
    ttl: Duration,
    #[command(flatten)]
    key: KeyArgs,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct KeyArgs {
    /// Sign with HS256 and the secret in this file
    #[arg(long, value_name = "FILE")]
    jwt_secret_file: Option<PathBuf>,
    /// Sign with EdDSA and the Ed25519 private key (PKCS#8 PEM) in this file
    #[arg(long, value_name = "FILE")]
    jwt_private_key_file: Option<PathBuf>,
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = duration::parse(text)?;
    if ttl < Duration::from_secs(1) {
        return Err("a token counts in seconds: give at least 1s".to_owned());
    }
    Ok(ttl)
}

/// Signs the token and prints it.
pub(crate) fn run(args: &TokenArgs) -> anyhow::Result<Exit> {
    print_line(sign(args, SystemClock.now_ms())?)?;
    Ok(Exit::Done)
}

fn sign(args: &TokenArgs, now_ms: u64) -> anyhow::Result<String> {
    let now = now_ms / 1_000;
    let claims = Claims {
        sub: args.user.to_string(),
        device: args.device.as_ref().map(DeviceId::to_string),
        exp: now + args.ttl.as_secs(),
        iat: Some(now),
        nbf: None,
        sid: args.sid.as_ref().map(LoginId::to_string),
    };
    match (&args.key.jwt_secret_file, &args.key.jwt_private_key_file) {
        (Some(path), _) => {
            let secret = read("jwt-secret-file", path)?;
            // The node trims the same way.
            let secret = Secret::new(secret.trim_end_matches(['\r', '\n']));
            anyhow::ensure!(!secret.expose().is_empty(), "--jwt-secret-file: {} is empty", path.display());
            Ok(sign_hs256(&secret, &claims))
        }
        (None, Some(path)) => {
            let key = Secret::new(read("jwt-private-key-file", path)?);
            sign_eddsa(&key, &claims).with_context(|| format!("--jwt-private-key-file: {}", path.display()))
        }
        (None, None) => anyhow::bail!("give --jwt-secret-file or --jwt-private-key-file"),
    }
}

fn read(flag: &str, path: &Path) -> anyhow::Result<String> {
    text_file::read(path).with_context(|| format!("--{flag}: cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AuthConfig;
    use crate::token::TokenVerifier;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn args(secret: Option<PathBuf>, private: Option<PathBuf>) -> TokenArgs {
        TokenArgs {
            user: UserId::new("42").unwrap(),
            device: Some(DeviceId::new("phone").unwrap()),
            sid: Some(LoginId::new("s1").unwrap()),
            ttl: Duration::from_secs(60),
            key: KeyArgs { jwt_secret_file: secret, jwt_private_key_file: private },
        }
    }

    #[test]
    fn a_signed_token_is_one_that_a_node_with_the_same_file_accepts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jwt.secret");
        std::fs::write(&path, "a-secret-of-at-least-thirty-two-bytes\n").unwrap();
        let token = sign(&args(Some(path), None), NOW_MS).unwrap();
        let secret = Secret::new("a-secret-of-at-least-thirty-two-bytes");
        let auth = AuthConfig { jwt_secrets: vec![secret], ..AuthConfig::default() };
        let said = TokenVerifier::new(&auth).unwrap().verify(&token, NOW_MS).unwrap();
        assert_eq!((said.user.as_str(), said.expires_unix_ms), ("42", NOW_MS + 60_000));
        assert_eq!(said.device, Some(DeviceId::new("phone").unwrap()));
        assert_eq!(said.login, Some(LoginId::new("s1").unwrap()));
    }

    #[test]
    fn a_token_that_is_over_at_once_is_a_mistake() {
        for text in ["0s", "0ms", "999ms"] {
            assert!(ttl(text).unwrap_err().contains("at least 1s"), "{text}");
        }
        assert!(ttl("1").unwrap_err().contains("with a unit"));
        assert_eq!(ttl("1s"), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn a_private_key_of_another_kind_is_refused_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        std::fs::write(&path, "nonsense").unwrap();
        let error = format!("{:#}", sign(&args(None, Some(path)), NOW_MS).unwrap_err());
        assert!(error.contains("key.pem") && error.contains("openssl genpkey"), "{error}");
    }
}
