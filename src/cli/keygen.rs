//! `pushmesh keygen`: keys and secrets from the machine's entropy, in files that only their owner
//! reads.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::ValueEnum;
use ring::rand::{SecureRandom, SystemRandom};

use super::exit::Exit;
use super::output::{print_line, tell};
use crate::mesh::identity::{ClusterKey, ClusterKeys, HashKey};
use crate::text_file;

/// The flags of `pushmesh keygen`.
#[derive(Debug, clap::Args)]
pub(crate) struct KeygenArgs {
    /// File to write, which must not exist; only its owner can read it [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What the key is for
    #[arg(long, value_enum, default_value_t = Kind::Cluster)]
    kind: Kind,
    /// File of the cluster key that a new one is to replace: writes the file that nodes are given first
    #[arg(long, value_name = "FILE")]
    after: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Nodes prove themselves to each other with it (--cluster-key-file)
    Cluster,
    /// Nodes hash the names of users with it, where they prove themselves with --mesh-tls-* (--hash-key-file)
    Hash,
    /// A backend presents it to push (--api-key-file)
    Api,
    /// A backend signs client tokens with it (--jwt-secret-file)
    JwtSecret,
}

impl Kind {
    fn generate(self) -> anyhow::Result<String> {
        Ok(match self {
            Kind::Cluster => ClusterKey::generate()?.to_text(),
            Kind::Hash => HashKey::generate()?.to_text(),
            Kind::Api => format!("pma1_{}", random::<32>()?),
            Kind::JwtSecret => random::<48>()?,
        })
    }

    fn next_step(self) -> &'static str {
        match self {
            Kind::Cluster | Kind::Hash => "give every node of the cluster a copy, and nobody else",
            Kind::Api => "give it to the nodes and to the backend that pushes",
            Kind::JwtSecret => "give it to the nodes and to the backend that signs client tokens",
        }
    }
}

/// Makes the key.
pub(crate) fn run(args: &KeygenArgs) -> anyhow::Result<Exit> {
    let (key, next_step) = match &args.after {
        None => (args.kind.generate()?, args.kind.next_step()),
        Some(former) => (replacement(args.kind, former)?, AFTER),
    };
    match &args.out {
        None => print_line(key)?,
        Some(path) => {
            write_new(path, &key)?;
            tell(format!("wrote {}: {next_step}", path.display()));
        }
    }
    Ok(Exit::Done)
}

/// The cluster key of `former` and a new one that nodes are to believe before any of them signs with it.
fn replacement(kind: Kind, former: &Path) -> anyhow::Result<String> {
    if !matches!(kind, Kind::Cluster) {
        anyhow::bail!("--after is for cluster keys: leave it out, or leave out --kind");
    }
    let text = text_file::read(former).with_context(|| format!("cannot read {}", former.display()))?;
    let keys = ClusterKeys::parse(&text).and_then(|keys| keys.with_next());
    Ok(keys.with_context(|| former.display().to_string())?.to_text())
}

/// `N` random bytes as text.
fn random<const N: usize>() -> anyhow::Result<String> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no entropy"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Writes a file that did not exist, readable by its owner only from its first moment.
fn write_new(path: &Path, key: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => anyhow::anyhow!(
            "{} exists, and overwriting a key would lock out who uses it: move it away or give another --out",
            path.display()
        ),
        _ => anyhow::Error::new(error).context(format!("cannot create {}", path.display())),
    })?;
    writeln!(file, "{key}")
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// What follows once there is a file with a second cluster key.
const AFTER: &str = "give every node a copy in place of its file; then, one file after the other, move the second key to the top; \
                     and when all have that, leave out the old one (docs/OPERATIONS.md, Rotating the cluster key)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_private_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.key");
        let args = KeygenArgs { out: Some(path.clone()), kind: Kind::Api, after: None };
        assert_eq!(run(&args).unwrap(), Exit::Done);
        let first = std::fs::read_to_string(&path).unwrap();
        assert!(run(&args).unwrap_err().to_string().contains("move it away"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_new_cluster_key_comes_behind_the_one_that_it_is_to_replace() {
        let dir = tempfile::tempdir().unwrap();
        let (former, next) = (dir.path().join("cluster.key"), dir.path().join("next.key"));
        let key = Kind::Cluster.generate().unwrap();
        write_new(&former, &key).unwrap();
        let args = |kind| KeygenArgs { out: Some(next.clone()), kind, after: Some(former.clone()) };
        assert!(run(&args(Kind::Api)).unwrap_err().to_string().contains("--after is for cluster keys"));
        assert_eq!(run(&args(Kind::Cluster)).unwrap(), Exit::Done);
        let text = std::fs::read_to_string(&next).unwrap();
        assert!(text.starts_with(&format!("{key}\npmk1_")), "{text}");
        assert_eq!(
            ClusterKeys::parse(&text).unwrap().hash_key(),
            ClusterKeys::parse(&key).unwrap().hash_key()
        );
    }

    #[test]
    fn keys_are_long_enough_and_differ() {
        for (kind, bytes_min) in
            [(Kind::Cluster, 32), (Kind::Hash, 32), (Kind::Api, 32), (Kind::JwtSecret, 64)]
        {
            let (one, two) = (kind.generate().unwrap(), kind.generate().unwrap());
            assert!(one.len() >= bytes_min, "{kind:?}: {}", one.len());
            assert_ne!(one, two, "{kind:?}");
        }
    }
}
