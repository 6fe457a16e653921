//! Rules of single values, and of those that have to fit together.

use super::*;

#[test]
fn relations_between_values_are_checked_and_explained() {
    let s = |seconds| Some(Duration::from_secs(seconds));
    let raw = RawConfig { heartbeat_interval: s(10), heartbeat_timeout: s(20), ..dev() };
    refused(raw, "--heartbeat-timeout: 20s must exceed twice --heartbeat-interval (10s)", "lost ping");
    refused(RawConfig { heartbeat_interval: s(0), ..dev() }, "--heartbeat-interval", "at least 1ms");
    refused(RawConfig { push_timeout: s(1), ..dev() }, "--push-timeout: 1s must exceed 1s", "buffered");
    let half = Some(Duration::from_millis(500));
    refused(RawConfig { drain_timeout: half, ..dev() }, "--drain-timeout: 500ms", "at least 1s");
    refused(RawConfig { keep_alive: half, ..dev() }, "--keep-alive: 500ms", "at least 1s");
    assert_eq!(validate(dev()).unwrap().timers.keep_alive, Duration::from_secs(75));
    assert_eq!(validate(RawConfig { idle_timeout: s(0), ..dev() }).unwrap().timers.idle_timeout, None);
    assert_eq!(validate(RawConfig { idle_timeout: s(5), ..dev() }).unwrap().timers.idle_timeout, s(5));

    let raw = RawConfig { outbox_bytes: Some(10), max_payload_bytes: Some(11), ..dev() };
    refused(raw, "--outbox-bytes: 10 is less than --max-payload-bytes 11", "raise it");
    refused(RawConfig { max_payload_bytes: Some(0), ..dev() }, "--max-payload-bytes: 0", "at least 1");
    let above = Some(limits::PAYLOAD_BYTES_CEILING + 1);
    refused(
        RawConfig { max_payload_bytes: above, ..dev() },
        "--max-payload-bytes",
        "above the largest value",
    );
}

#[test]
fn a_user_can_not_keep_more_sessions_than_it_may_have() {
    let policy = |sessions, most| RawConfig {
        takeover: Some(Takeover::MaxPerUser(sessions)),
        max_sessions_per_user: most,
        ..dev()
    };
    assert_eq!(validate(policy(3, Some(3))).unwrap().takeover, Takeover::MaxPerUser(3));
    assert_eq!(validate(policy(100, None)).unwrap().takeover, Takeover::MaxPerUser(100));
    refused(
        policy(4, Some(3)),
        "--takeover: max-per-user=4 is more than --max-sessions-per-user 3",
        "raise that to at least 4",
    );
    refused(policy(101, None), "--takeover: max-per-user=101 is more", "--max-sessions-per-user 100");
    refused(policy(0, None), "--takeover: max-per-user=0", "at least 1");
    let above = Some(limits::SESSIONS_PER_USER_CEILING + 1);
    refused(
        RawConfig { max_sessions_per_user: above, ..dev() },
        "--max-sessions-per-user",
        "above the largest value, 1000",
    );
}

#[test]
fn a_level_that_there_is_not_is_refused_where_it_is_read() {
    for wrong in ["none", "held", ""] {
        let message = from_flags(&[&format!("--wait-default={wrong}")]).unwrap_err().to_string();
        assert!(
            message.contains("--wait-default") && message.contains("receipt, stored or acked"),
            "{message}"
        );
    }
    let message = from_toml("name = \"n1\"\nwait-default = \"none\"\n").unwrap_err().to_string();
    assert!(message.contains("line 2: a push waits for receipt, stored or acked"), "{message}");
    let raw = from_toml("wait-default = \"stored\"\n").unwrap();
    let files = Files::new();
    let config = validate(RawConfig { wait_default: raw.wait_default, ..files.production() }).unwrap();
    assert_eq!(config.wait_default, Wait::Stored);
}

#[test]
fn a_wrong_takeover_policy_is_refused_where_it_is_read() {
    let message = from_flags(&["--takeover", "newest"]).unwrap_err().to_string();
    assert!(message.contains("--takeover") && message.contains("one-per-user"), "{message}");
    let message = from_toml("name = \"n1\"\ntakeover = \"max-per-user=0\"\n").unwrap_err().to_string();
    assert!(message.contains("node.toml, line 2") && message.contains("from 1 to 1000"), "{message}");
}

#[test]
fn origins_are_brought_into_the_form_that_browsers_send_or_refused() {
    let origin = |text: &str| RawConfig { origin: vec![text.to_owned()], ..dev() };
    let config = validate(origin("https://App.Example:443/")).unwrap();
    assert_eq!(
        config.auth.origins.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["https://app.example"]
    );
    for good in ["http://localhost:3000", "null", "https://*.app.example", "https://[::1]"] {
        assert!(validate(origin(good)).is_ok(), "{good}");
    }
    for (wrong, advice) in [
        ("*", "leave it out to allow any"),
        ("app.example", "a scheme and a host"),
        ("https://app.example/x", "neither path nor user"),
        ("wss://app.example", "https://"),
        ("https://b\u{fc}cher.example", "xn--"),
        ("https://*.*.example", "one label"),
    ] {
        refused(origin(wrong), &format!("--origin: {wrong:?} is not an origin: "), advice);
    }
}

#[test]
fn a_list_that_is_given_and_empty_is_refused() {
    for nothing in ["", " ", ",", " , "] {
        for flag in ["origin", "peer"] {
            let raw = from_flags(&["--dev", "--name=n1", &format!("--{flag}={nothing}")]).unwrap();
            refused(raw, &format!("--{flag}: "), "give a value, or leave it out");
            let raw = from_toml(&format!("dev = true\nname = \"n1\"\n{flag} = {nothing:?}\n")).unwrap();
            refused(raw, &format!("--{flag}: "), "give a value, or leave it out");
        }
        let files = Files::new();
        let nothing: Vec<PathBuf> = nothing.split(',').map(PathBuf::from).collect();
        let raw = RawConfig { jwt_secret_file: nothing.clone(), ..files.production() };
        refused(raw, "--jwt-secret-file: ", "give a value, or leave it out");
        let raw = RawConfig { jwt_public_key_file: nothing, ..files.production() };
        refused(raw, "--jwt-public-key-file: ", "give a value, or leave it out");
    }
    let some = from_flags(&["--dev", "--name=n1", "--origin=https://a.example,"]).unwrap();
    assert_eq!(validate(some).unwrap().auth.origins.len(), 1, "an empty item beside others says nothing");
    assert!(validate(from_toml("dev = true\nname = \"n1\"\norigin = []\n").unwrap()).is_ok());
}

#[test]
fn a_path_that_is_given_and_empty_is_refused() {
    for line in [
        "data-dir",
        "cluster-key-file",
        "mesh-tls-ca",
        "hash-key-file",
        "api-key-file",
        "tls-cert",
        "tls-key",
    ] {
        let error = from_toml(&format!("{line} = \"\"\n")).unwrap_err().to_string();
        assert!(error.ends_with("line 1: a path is not empty; leave the line out"), "{error}");
        assert!(from_flags(&[&format!("--{line}=")]).is_err(), "{line}");
    }
}

#[test]
fn a_missing_file_names_itself() {
    let message = RawConfig::from_toml(Path::new("/nowhere/node.toml")).unwrap_err().to_string();
    assert!(message.starts_with("--config: cannot read /nowhere/node.toml: "), "{message}");
}

#[test]
fn the_keys_of_an_identity_provider_are_enough_and_are_checked_with_their_file() {
    let files = Files::new();
    let company = |keys: &str| RawConfig {
        jwt_secret_file: vec![],
        jwks_file: vec![files.write("jwks.json", keys)],
        jwt_issuer: Some("https://id.example/".to_owned()),
        jwt_audience: vec!["push".to_owned(), " ".to_owned()],
        ..files.production()
    };
    let keys =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let auth = validate(company(keys)).unwrap().auth;
    assert_eq!(auth.jwks, [keys]);
    assert_eq!(
        (auth.jwt_issuer.as_deref(), auth.jwt_audiences),
        (Some("https://id.example/"), vec!["push".to_owned()])
    );
    refused(company("{}"), "--jwks-file: ", "jwks.json is not a JSON Web Key Set");
    refused(company(&keys.replace("Ed25519", "X25519")), "--jwks-file: ", "has no key for tokens");
    let raw = RawConfig { jwt_issuer: Some(String::new()), ..company(keys) };
    refused(raw, "--jwt-issuer: \"\" is a text that no token has", "leave it out");
    let raw = RawConfig { jwt_audience: vec![String::new()], ..company(keys) };
    refused(raw, "--jwt-audience: ", "leave it out");
}

#[test]
fn keys_that_are_fetched_are_enough_and_come_by_https() {
    let files = Files::new();
    let fetched = || RawConfig {
        jwt_secret_file: vec![],
        jwks_url: from_flags(&["--jwks-url=https://id.example/keys"]).unwrap().jwks_url,
        ..files.production()
    };
    let auth = validate(fetched()).unwrap().auth;
    assert_eq!(auth.jwks_url.map(|url| url.to_string()).as_deref(), Some("https://id.example/keys"));
    let ca = Some(files.write("ca.pem", "text"));
    refused(RawConfig { jwks_ca: ca.clone(), ..fetched() }, "--jwks-ca: ", "holds no PEM certificate");
    let raw = RawConfig { jwks_ca: ca, ..files.production() };
    refused(raw, "--jwks-url is missing", "leave both out");
    let message = from_flags(&["--jwks-url=http://id.example/keys"]).unwrap_err().to_string();
    assert!(message.contains("--jwks-url") && message.contains("use https"), "{message}");
}

#[test]
fn traces_go_to_a_collector_and_a_build_without_them_says_so() {
    let traced = |flags: &[&str]| {
        let raw = from_flags(flags).unwrap();
        RawConfig { otlp_endpoint: raw.otlp_endpoint, otlp_sample: raw.otlp_sample, ..dev() }
    };
    refused(traced(&["--otlp-sample=0.5"]), "--otlp-endpoint is missing", "leave both out");
    let message = from_flags(&["--otlp-endpoint=collector:4318"]).unwrap_err().to_string();
    assert!(message.contains("--otlp-endpoint") && message.contains("http://127.0.0.1:4318"), "{message}");
    let message = from_flags(&["--otlp-sample=2"]).unwrap_err().to_string();
    assert!(message.contains("--otlp-sample") && message.contains("from 0 to 1"), "{message}");
    let raw = traced(&["--otlp-endpoint=http://127.0.0.1:4318"]);
    if cfg!(feature = "otlp") {
        let otlp = validate(raw).unwrap().otlp.unwrap();
        assert_eq!(otlp.endpoint.to_string(), "http://127.0.0.1:4318/");
        assert_eq!(otlp.sample, crate::config::SampleRatio::STANDARD);
    } else {
        refused(raw, "--otlp-endpoint: http://127.0.0.1:4318/ needs a build", "--features otlp");
    }
}
