//! The configuration's rules, one sentence each.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};
use tempfile::TempDir;

use super::raw::validate::Surroundings;
use super::{Advertised, Config, ConfigError, MeshIdentity, RawConfig, Secret, Takeover};
use crate::limits;
use crate::push::Wait;

mod values;

const KEY: &str = "pmk1_c29tZS1rZXktZm9yLXRlc3RzLW9mLTMyLWJ5dGVzISE";
const API_KEY: &str = "an-api-key-of-some-length";
const JWT_SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";
const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The least that a node without `--dev` needs.
    fn production(&self) -> RawConfig {
        RawConfig {
            name: Some("n1".to_owned()),
            cluster_key_file: Some(self.write("cluster.key", &format!("{KEY}\n"))),
            api_key_file: Some(self.write("api.keys", &format!("# backends\n{API_KEY}\n\n"))),
            jwt_secret_file: vec![self.write("jwt.secret", &format!("{JWT_SECRET}\n"))],
            ..RawConfig::default()
        }
    }
}

fn dev() -> RawConfig {
    RawConfig { name: Some("n1".to_owned()), dev: Some(true), ..RawConfig::default() }
}

fn validate(raw: RawConfig) -> Result<Config, ConfigError> {
    raw.validate_in(&Surroundings::default())
}

fn refusal(raw: RawConfig) -> String {
    validate(raw).expect_err("this configuration is to be refused").to_string()
}

/// Checks that the refusal starts with `start` and gives the advice.
fn refused(raw: RawConfig, start: &str, advice: &str) {
    let message = refusal(raw);
    assert!(message.starts_with(start), "{message:?} does not start with {start:?}");
    assert!(message.contains(advice), "{message:?} does not say {advice:?}");
}

fn from_flags(flags: &[&str]) -> Result<RawConfig, clap::Error> {
    let matches =
        RawConfig::augment_args(Command::new("node").no_binary_name(true)).try_get_matches_from(flags)?;
    RawConfig::from_arg_matches(&matches)
}

fn from_toml(text: &str) -> Result<RawConfig, ConfigError> {
    let files = Files::new();
    RawConfig::from_toml(&files.write("node.toml", text))
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let files = Files::new();
    let config = validate(files.production()).unwrap();
    assert_eq!(config.cluster.as_str(), "pushmesh");
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.mesh_listen, "127.0.0.1:7400".parse().unwrap());
    assert_eq!(config.limits.max_payload_bytes, limits::PAYLOAD_BYTES_MAX);
    assert_eq!(config.timers.heartbeat_interval, limits::HEARTBEAT_INTERVAL);
    assert_eq!(config.timers.idle_timeout, None);
    assert_eq!(config.timers.join_timeout, Duration::from_secs(30));
    assert_eq!((config.allow_alone, config.expect, config.isolated_not_ready), (false, 1, false));
    assert_eq!(config.takeover, Takeover::ExclusiveDevice);
    assert_eq!(config.wait_default, Wait::Receipt);
    assert!(!config.auth.dev);
}

#[test]
fn a_program_that_embeds_a_node_gets_the_defaults_of_the_flags() {
    let files = Files::new();
    let flags = validate(files.production()).unwrap();
    let made = Config::new(flags.name.clone(), flags.mesh_identity.clone(), flags.auth.clone());
    assert_eq!(format!("{made:?}"), format!("{flags:?}"));
}

#[test]
fn files_are_read_and_trimmed() {
    let files = Files::new();
    let raw =
        RawConfig { jwt_public_key_file: vec![files.write("jwt.pub", ED25519_PEM)], ..files.production() };
    let config = validate(raw).unwrap();
    assert_eq!(config.auth.api_keys, [Secret::new(API_KEY)]);
    assert_eq!(config.auth.jwt_secrets, [Secret::new(JWT_SECRET)]);
    assert_eq!(config.auth.jwt_public_keys_pem, [ED25519_PEM]);
    assert!(matches!(config.mesh_identity, MeshIdentity::ClusterKey(key) if key.expose() == KEY));
}

#[test]
fn a_flag_a_key_and_a_documented_name_are_the_same_thing() {
    let command = RawConfig::augment_args(Command::new("node"));
    for argument in
        command.get_arguments().filter(|argument| argument.get_long().is_some_and(|l| l != "help"))
    {
        let flag = argument.get_long().unwrap();
        let variable = format!("PUSHMESH_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(argument.get_env().and_then(|env| env.to_str()), Some(variable.as_str()), "--{flag}");
        let value = match flag {
            "dev" | "allow-alone" | "isolated-not-ready" | "proxy-protocol" | "replace" => "true",
            f if f.contains("s-per-") && !f.starts_with("max-") => "\"20/10s\"",
            "expect" | "threads" | "copies" => "1",
            f if f.ends_with("listen") || f.ends_with("advertise") => "\"127.0.0.1:1\"",
            f if ["timeout", "interval", "lifetime", "alive", "keep-max", "delay"]
                .iter()
                .any(|end| f.ends_with(end)) =>
            {
                "\"1s\""
            }
            f if ["max-", "outbox-", "kept-"].iter().any(|start| f.starts_with(start)) => "1",
            "takeover" => "\"reject-newer\"",
            "wait-default" => "\"stored\"",
            "mesh-version" => "4",
            "tls-min" => "\"1.2\"",
            "jwks-url" | "otlp-endpoint" => "\"https://id.example/keys\"",
            "otlp-sample" => "0.5",
            _ => "\"x\"",
        };
        let of_file = from_toml(&format!("{flag} = {value}\n")).unwrap_or_else(|e| panic!("--{flag}: {e}"));
        let of_flag = from_flags(&[&format!("--{flag}={}", value.trim_matches('"'))]).unwrap();
        assert_eq!(of_file, of_flag, "--{flag}");
        assert_ne!(of_file, RawConfig::default(), "--{flag} says nothing");
    }
}

#[test]
fn lists_come_as_repeated_flags_commas_or_arrays() {
    let expected = vec!["a:1".to_owned(), "b:2".to_owned()];
    assert_eq!(from_flags(&["--peer", "a:1", "--peer", "b:2"]).unwrap().peer, expected);
    assert_eq!(from_flags(&["--peer", "a:1,b:2"]).unwrap().peer, expected);
    assert_eq!(from_toml("peer = [\"a:1\", \"b:2\"]").unwrap().peer, expected);
    assert_eq!(from_toml("peer = \"a:1,b:2\"").unwrap().peer, expected);
}

#[test]
fn an_unknown_key_is_reported_with_file_line_and_key() {
    let message = from_toml("name = \"n1\"\n\nmesh-listne = \"x\"\n").unwrap_err().to_string();
    assert!(message.contains("node.toml, line 3: unknown field `mesh-listne`"), "{message}");
    let message = from_toml("name = \"n1\"\nlisten = \"8080\"\n").unwrap_err().to_string();
    assert!(message.contains("line 2: \"8080\" is no address to listen at"), "{message}");
}

#[test]
fn who_listens_says_an_address_a_port_or_a_name_of_this_machine() {
    let listen = |text: &str| from_flags(&["--listen", text]).map(|raw| raw.listen.unwrap().to_string());
    for (text, addr) in [
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        (":8080", "0.0.0.0:8080"),
        ("localhost:8080", "127.0.0.1:8080"),
        ("[::]:0", "[::]:0"),
    ] {
        assert_eq!(listen(text).unwrap(), addr);
    }
    for wrong in ["", ":", "8080", "localhost", "localhost:", ":65536", "::1:80", "http://x:80", "a b:80"] {
        assert!(listen(wrong).is_err(), "{wrong}");
    }
    let message = listen("nowhere.invalid:80").unwrap_err().to_string();
    assert!(message.contains("\"nowhere.invalid\" has no address"), "{message}");
}

#[test]
fn a_bad_flag_is_reported_with_its_name_and_the_right_shape() {
    let message = from_flags(&["--push-timeout", "2"]).unwrap_err().to_string();
    assert!(message.contains("--push-timeout") && message.contains("500ms, 10s, 2m"), "{message}");
    let message = from_flags(&["--listen", "localhost"]).unwrap_err().to_string();
    assert!(message.contains("--listen") && message.contains("127.0.0.1:8080"), "{message}");
}

#[test]
fn durations_have_a_number_and_a_unit() {
    let parse = super::duration::parse;
    assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
    assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
    assert_eq!(parse("1h"), Ok(Duration::from_secs(3_600)));
    assert_eq!(parse("366d"), Ok(Duration::from_secs(366 * 86_400)));
    assert_eq!(parse("0s"), Ok(Duration::ZERO));
    for wrong in ["", "s", "10", "1.5s", "-1s", "1w", "99999999999999999999h", "36501d"] {
        assert!(parse(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_upper_layer_wins_field_by_field() {
    let file =
        from_toml("name = \"file\"\nzone = \"z\"\npeer = [\"a:1\"]\norigin = [\"http://a\"]\n").unwrap();
    let flags = from_flags(&["--name", "flag", "--peer", "b:2"]).unwrap();
    let both = file.overlay(flags);
    assert_eq!(both.name.as_deref(), Some("flag"));
    assert_eq!(both.zone.as_deref(), Some("z"));
    assert_eq!(both.peer, ["b:2"]);
    assert_eq!(both.origin, ["http://a"]);
}

#[test]
fn what_a_node_waits_for_at_its_start_is_no_contradiction() {
    let expects = |expect| RawConfig { expect: Some(expect), allow_alone: Some(true), ..dev() };
    refused(expects(2), "--allow-alone: true contradicts --expect 2", "leave out one");
    refused(expects(0), "--expect: 0", "at least 1");
    assert!(validate(expects(1)).unwrap().allow_alone);
    let short = RawConfig { join_timeout: Some(Duration::from_millis(1)), ..dev() };
    refused(short, "--join-timeout: 1ms is too short", "at least 1s");
}

#[test]
fn a_node_without_keys_is_told_how_to_make_them() {
    let files = Files::new();
    let advice = "--dev for a try on this machine";
    refused(
        RawConfig { cluster_key_file: None, ..files.production() },
        "--cluster-key-file is missing",
        "pushmesh keygen --out cluster.key",
    );
    refused(
        RawConfig { cluster_key_file: None, ..files.production() },
        "--cluster-key-file is missing",
        advice,
    );
    refused(RawConfig { api_key_file: None, ..files.production() }, "--api-key-file is missing", advice);
    refused(
        RawConfig { jwt_secret_file: vec![], ..files.production() },
        "--jwt-secret-file is missing",
        advice,
    );
}

#[test]
fn the_cluster_key_may_come_from_the_environment_but_not_twice() {
    let files = Files::new();
    let around = Surroundings { cluster_key: Some(Secret::new(KEY)), ..Surroundings::default() };
    let raw = RawConfig { cluster_key_file: None, ..files.production() };
    let config = raw.validate_in(&around).unwrap();
    assert!(matches!(config.mesh_identity, MeshIdentity::ClusterKey(key) if key.expose() == KEY));
    let message = files.production().validate_in(&around).unwrap_err().to_string();
    assert!(message.contains("--cluster-key-file and PUSHMESH_CLUSTER_KEY exclude each other"), "{message}");
}

#[test]
fn the_development_key_is_refused_outside_development() {
    let files = Files::new();
    for text in [super::DEV_CLUSTER_KEY.to_owned(), format!("  {}\n", super::DEV_CLUSTER_KEY)] {
        let path = files.write("dev.key", &text);
        let raw = RawConfig { cluster_key_file: Some(path), ..files.production() };
        refused(raw, "--cluster-key-file", "pushmesh keygen");
    }
}

#[test]
fn a_development_node_stays_on_loopback() {
    assert!(validate(dev()).unwrap().auth.dev);
    let out = Some("192.0.2.1:8080".parse().unwrap());
    refused(RawConfig { listen: out, ..dev() }, "--listen: 192.0.2.1:8080 is not a loopback", "127.0.0.1");
    refused(RawConfig { mesh_listen: out, ..dev() }, "--mesh-listen", "keys instead of --dev");
    refused(
        RawConfig { mesh_advertise: out.map(Advertised::from), ..dev() },
        "--mesh-advertise",
        "keys instead of --dev",
    );
    refused(RawConfig { peer: vec!["192.0.2.1:7400".into()], ..dev() }, "--peer", "keys instead of --dev");
    let any = Some("0.0.0.0:8080".parse().unwrap());
    refused(RawConfig { listen: any, ..dev() }, "--listen", "keys instead of --dev");
    let six = Some("[::1]:8080".parse().unwrap());
    assert!(validate(RawConfig { listen: six, ..dev() }).is_ok());
}

#[test]
fn a_development_node_does_not_pretend_to_be_protected() {
    let advice = "leave out one";
    let path = || Some(PathBuf::from("k"));
    refused(RawConfig { cluster_key_file: path(), ..dev() }, "--dev and --cluster-key-file", advice);
    refused(RawConfig { api_key_file: path(), ..dev() }, "--dev and --api-key-file", advice);
    refused(RawConfig { jwt_secret_file: vec!["k".into()], ..dev() }, "--dev and --jwt-secret-file", advice);
    refused(RawConfig { jwks_file: vec!["k".into()], ..dev() }, "--dev and --jwks-file", advice);
    let url = "https://id.example/keys".parse().ok();
    refused(RawConfig { jwks_url: url, ..dev() }, "--dev and --jwks-url", advice);
    let around = Surroundings { cluster_key: Some(Secret::new(KEY)), ..Surroundings::default() };
    assert!(dev().validate_in(&around).unwrap_err().to_string().contains("PUSHMESH_CLUSTER_KEY"));
}

#[test]
fn the_name_defaults_to_the_host_name_and_is_checked() {
    let around = Surroundings { host_name: Some("web-7".to_owned()), ..Surroundings::default() };
    let config = RawConfig { name: None, ..dev() }.validate_in(&around).unwrap();
    assert_eq!(config.name.as_str(), "web-7");
    refused(RawConfig { name: None, ..dev() }, "--name is missing", "give the node a name");
    refused(RawConfig { name: Some("a b".to_owned()), ..dev() }, "--name: a node name is made of", "' '");
    refused(RawConfig { cluster: Some("a/b".to_owned()), ..dev() }, "--cluster: ", "'/'");
}

#[test]
fn an_address_that_peers_can_not_dial_is_refused() {
    let files = Files::new();
    let any = Some("0.0.0.0:7400".parse().unwrap());
    refused(
        RawConfig { mesh_listen: any, ..files.production() },
        "--mesh-advertise is missing",
        "peers need one that they can dial",
    );
    refused(
        RawConfig { mesh_advertise: any.map(Advertised::from), ..files.production() },
        "--mesh-advertise: 0.0.0.0:7400 cannot be dialled",
        "address and port",
    );
    let raw = RawConfig {
        mesh_listen: any,
        mesh_advertise: Some("10.0.0.1:7400".parse().unwrap()),
        ..files.production()
    };
    assert!(validate(raw).is_ok());
    let peers = |peer: &str| RawConfig { peer: vec![peer.to_owned()], ..files.production() };
    for wrong in ["10.0.0.2", "10.0.0.2:0", ":7400", "http://a:1", "a:b", "a:70000"] {
        refused(peers(wrong), "--peer: ", "host:port");
    }
    for right in ["10.0.0.2:7400", "[2001:db8::1]:7400", "n2.example:7400"] {
        assert_eq!(validate(peers(right)).unwrap().peers, [right]);
    }
}

#[test]
fn certificates_and_keys_go_together() {
    let files = Files::new();
    let path = || Some(PathBuf::from("x.pem"));
    refused(RawConfig { tls_cert: path(), ..dev() }, "--tls-key is missing", "go together");
    refused(RawConfig { tls_key: path(), ..dev() }, "--tls-cert is missing", "go together");
    let mesh = || RawConfig { cluster_key_file: None, ..files.production() };
    refused(RawConfig { mesh_tls_ca: path(), ..mesh() }, "--mesh-tls-cert is missing", "go together");
    refused(RawConfig { mesh_tls_key: path(), ..mesh() }, "--mesh-tls-ca is missing", "go together");
    refused(
        RawConfig { mesh_tls_ca: path(), ..files.production() },
        "a cluster key and --mesh-tls-*",
        "leave out",
    );
}

#[test]
fn pem_files_are_checked_for_what_they_hold() {
    let files = Files::new();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let cert =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let cert = Some(files.write("cert.pem", &cert.pem()));
    let key = Some(files.write("key.pem", &pair.serialize_pem()));
    let raw = RawConfig { tls_cert: cert.clone(), tls_key: key.clone(), ..dev() };
    assert!(validate(raw).unwrap().tls.is_some());
    let swapped = RawConfig { tls_cert: key.clone(), tls_key: cert.clone(), ..dev() };
    refused(swapped, "--tls-cert", "no PEM certificate");
    let raw = RawConfig { jwt_public_key_file: vec![key.clone().unwrap()], ..files.production() };
    refused(raw, "--jwt-public-key-file", "openssl pkey");
    let raw = RawConfig {
        cluster_key_file: None,
        mesh_tls_ca: cert.clone(),
        mesh_tls_cert: cert,
        mesh_tls_key: key,
        ..files.production()
    };
    refused(raw.clone(), "--hash-key-file is missing", "pushmesh keygen --kind hash");
    let raw = RawConfig { hash_key_file: Some(files.write("hash.key", "pmh1_x\n")), ..raw };
    let of_files = |config: Config| match config.mesh_identity {
        MeshIdentity::Files { hash_key, .. } => hash_key.expose().to_owned(),
        MeshIdentity::ClusterKey(_) => panic!("there is none"),
    };
    assert_eq!(of_files(validate(raw.clone()).unwrap()), "pmh1_x");
    let around = Surroundings { hash_key: Some(Secret::new("pmh1_y")), ..Surroundings::default() };
    let twice = raw.clone().validate_in(&around).unwrap_err().to_string();
    assert!(twice.starts_with("--hash-key-file and PUSHMESH_HASH_KEY exclude each other"), "{twice}");
    let from_environment = RawConfig { hash_key_file: None, ..raw };
    assert_eq!(of_files(from_environment.validate_in(&around).unwrap()), "pmh1_y");
}

#[test]
fn a_hash_key_goes_with_an_authority_of_the_operators_own_only() {
    let files = Files::new();
    let hash_key_file = || Some(files.write("hash.key", "pmh1_x\n"));
    let with_key = RawConfig { hash_key_file: hash_key_file(), ..files.production() };
    refused(with_key.clone(), "a cluster key and a hash key exclude each other", "leave out one");
    refused(RawConfig { cluster_key_file: None, ..with_key }, "--mesh-tls-ca is missing", "--mesh-tls-cert");
    refused(
        RawConfig { hash_key_file: hash_key_file(), ..dev() },
        "--dev and --hash-key-file",
        "leave out one",
    );
}

#[test]
fn short_secrets_are_refused() {
    let files = Files::new();
    let raw = RawConfig { api_key_file: Some(files.write("a", "# x\nshort\n")), ..files.production() };
    refused(raw, "--api-key-file", "line 2; an API key has at least 16");
    let raw = RawConfig { api_key_file: Some(files.write("a", "# none\n")), ..files.production() };
    refused(raw, "--api-key-file", "holds no key");
    let secret = "x".repeat(31) + "\n";
    let raw = RawConfig { jwt_secret_file: vec![files.write("s", &secret)], ..files.production() };
    refused(raw, "--jwt-secret-file", "holds 31 bytes; a secret has at least 32");
    let raw = RawConfig { jwt_secret_file: vec![PathBuf::from("/nowhere/s")], ..files.production() };
    refused(raw, "--jwt-secret-file: cannot read /nowhere/s", "");
}

#[test]
fn no_secret_is_printed() {
    let files = Files::new();
    let printed = format!("{:?}", validate(files.production()).unwrap());
    assert!(
        !printed.contains(KEY) && !printed.contains(API_KEY) && !printed.contains(JWT_SECRET),
        "{printed}"
    );
}
