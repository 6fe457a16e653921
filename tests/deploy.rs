//! The files of `deploy/` name only metrics, labels, flags, variables and ports that there are, and times that fit together.
//!
//! The tools that read these files know their grammar and none of our names (`deploy/check`). A rule over a metric that is
//! misspelled is silent for ever; a node with a misspelled variable starts without it. So the names are compared with those of
//! the program: with its help, and with the `/metrics` of a node that has just started, which shows every series at zero.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

#[test]
fn every_metric_in_the_files_is_one_that_a_node_shows_with_these_labels() {
    let metrics = metrics();
    let names: BTreeSet<_> = series(&metrics).map(|(name, _)| name).collect();
    let mut problems = Vec::new();
    for (path, text) in files() {
        let used = words(&text, is_word).filter(|(_, word)| word.starts_with("pushmesh_"));
        for (end, name) in used {
            if !names.contains(name) {
                problems.push(format!("{path}: no node shows {name}"));
            }
            for (label, value) in matchers(&text[end..]) {
                if !metrics_have(&metrics, name, label, value) {
                    problems.push(format!("{path}: {name} is never shown with {label}=\"{value}\""));
                }
            }
        }
    }
    assert!(names.contains("pushmesh_push_seconds_bucket"), "metrics look different from what this reads");
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_flag_and_every_variable_in_the_files_is_one_of_the_program() {
    let (node, keygen) = (help("node"), help("keygen"));
    let flags: BTreeSet<_> = flags(&node).chain(flags(&keygen)).collect();
    let mut problems = Vec::new();
    let mut foreign = BTreeSet::new();
    // The script calls other programs only.
    for (path, text) in files().into_iter().filter(|(path, _)| path != "deploy/check") {
        for (_, word) in words(&text, |byte| is_word(byte) || byte == b'-') {
            let letters = |flag: &&str| flag.starts_with(|first: char| first.is_ascii_lowercase());
            let Some(flag) = word.strip_prefix("--").filter(letters) else { continue };
            if FOREIGN.split(' ').any(|other| other == flag) {
                foreign.insert(flag.to_owned());
            } else if !flags.contains(flag) {
                problems.push(format!("{path}: pushmesh has no flag --{flag}"));
            }
        }
        for (_, name) in words(&text, is_word).filter(|(_, word)| word.starts_with("PUSHMESH_")) {
            if !node.contains(&format!("[env: {name}=")) {
                problems.push(format!("{path}: pushmesh has no variable {name}"));
            }
        }
        if path.ends_with(".toml") {
            // A setting that is commented out is there to be used.
            let lines = text.lines().map(|line| line.trim_start_matches("# "));
            let keys = lines.filter_map(|line| line.split_once(" = ")).map(|(key, _)| key);
            let unknown = keys.filter(|key| !flags.contains(key));
            problems.extend(unknown.map(|key| format!("{path}: no setting is called {key}")));
        }
    }
    let unused = FOREIGN.split(' ').filter(|flag| !foreign.contains(*flag));
    problems.extend(unused.map(|flag| format!("no file uses --{flag}: take it off the list")));
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn all_files_mean_the_same_ports() {
    let help = help("node");
    let client = number(&help, &["--listen <", "[default: 127.0.0.1:"]).to_string();
    let mesh = number(&help, &["--mesh-listen <", "[default: 127.0.0.1:"]).to_string();
    let mut problems = Vec::new();
    for (path, text) in files() {
        let others =
            OTHERS.iter().filter(|(other, _)| *other == path).flat_map(|(_, ports)| ports.split(' '));
        let known: Vec<_> = others.chain([client.as_str(), mesh.as_str()]).collect();
        let unknown = ports(&text).filter(|port| !known.contains(port));
        problems.extend(unknown.map(|port| format!("{path}: {port} is no port of a node")));
    }
    for (path, place) in PORTS {
        let place = place.replace("CLIENT", &client).replace("MESH", &mesh);
        if !file(path).contains(&place) {
            problems.push(format!("{path} does not say `{place}`"));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn whoever_stops_a_node_waits_for_longer_than_the_node_takes_to_leave() {
    let (compose, unit, pods) = (file(COMPOSE), file(UNIT), file(PODS));
    // What the node takes after its drain timeout if it hangs. Source: docs/OPERATIONS.md, Stopping.
    let farewell = 1;
    let drain = number(&compose, &["PUSHMESH_DRAIN_TIMEOUT: "]);
    let delay = number(&compose, &["PUSHMESH_DRAIN_DELAY: "]);
    assert!(number(&compose, &["stop_grace_period: "]) > delay + drain + farewell, "{COMPOSE}");
    assert_eq!(number(&unit, &["--drain-timeout "]), drain, "{UNIT}");
    let delay = number(&unit, &["--drain-delay "]);
    assert!(number(&unit, &["TimeoutStopSec="]) > delay + drain + farewell, "{UNIT}");
    assert_eq!(number(&pods, &["--drain-timeout="]), drain, "{PODS}");
    let delay = number(&pods, &["--drain-delay="]);
    assert!(number(&pods, &["terminationGracePeriodSeconds: "]) > delay + drain + farewell, "{PODS}");
}

#[test]
fn balancers_are_more_patient_than_heartbeats_and_less_than_idle_connections() {
    let help = help("node");
    let default = |flag: &str| number(&help, &[flag, "[default: "]);
    let (heartbeat, keep_alive) = (default("--heartbeat-timeout <"), default("--keep-alive <"));
    let (nginx, haproxy) = (file(NGINX), file(HAPROXY));
    assert!(number(&nginx, &["location = /v1/ws", "proxy_read_timeout "]) > heartbeat, "{NGINX}");
    assert!(number(&haproxy, &["timeout tunnel "]) > heartbeat, "{HAPROXY}");
    assert!(number(&nginx, &["    keepalive_timeout "]) < keep_alive, "{NGINX}");
}

#[test]
fn misspelled_names_are_found() {
    let metrics = "# HELP pushmesh_a_total x\npushmesh_a_total{reason=\"full\"} 0\npushmesh_b 0\n";
    assert!(metrics_have(metrics, "pushmesh_a_total", "reason", "full"));
    assert!(!metrics_have(metrics, "pushmesh_a_total", "reason", "ful"));
    let found: Vec<_> = matchers(r#"{job="$job",reason=~"full|error"}) > 0 {other="x"}"#).collect();
    assert_eq!(found, [("reason", "full"), ("reason", "error")]);
    assert_eq!(matchers(r#" > 0 {reason="x"}"#).count(), 0, "these are of another metric");
    let text = "  --mesh-listen <ADDR>\n      The address [default: 127.0.0.1:7400]\n";
    assert_eq!(flags(text).collect::<Vec<_>>(), ["mesh-listen"]);
    let found: Vec<_> = ports("10.0.0.1:8081 port: 7401 12:30 1:655322 EXPOSE 80800/tcp").collect();
    assert_eq!(found, ["8081", "7401", "80800"]);
}

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const COMPOSE: &str = "deploy/compose.yaml";
const UNIT: &str = "deploy/systemd/pushmesh.service";
const PODS: &str = "deploy/kubernetes/statefulset.yaml";
const NGINX: &str = "deploy/nginx/pushmesh.conf";
const HAPROXY: &str = "deploy/haproxy/haproxy.cfg";

/// Flags of Docker, Cargo, systemctl, useradd and kubectl, and one of `pushmesh` that every program has.
const FOREIGN: &str =
    "bin build chown dry-run file from from-file locked mount now release shell system tag version";

/// Other numbers where ports stand: what compose publishes, where balancers listen for backends, the user in the image.
const OTHERS: &[(&str, &str)] = &[
    (COMPOSE, "8081 8082 8083"),
    (NGINX, "8880"),
    (HAPROXY, "8880"),
    ("deploy/check", "18443"),
    ("deploy/Dockerfile", "65532"),
];

/// Which port stands where.
const PORTS: &[(&str, &str)] = &[
    ("deploy/Dockerfile", "EXPOSE CLIENT/tcp MESH/udp"),
    (COMPOSE, "n1:MESH,n2:MESH,n3:MESH"),
    ("deploy/systemd/pushmesh.toml", "\nlisten = \"10.0.0.1:CLIENT"),
    ("deploy/systemd/pushmesh.toml", "\nmesh-listen = \"10.0.0.1:MESH"),
    (PODS, "--listen=0.0.0.0:CLIENT"),
    (PODS, "--mesh-listen=0.0.0.0:MESH"),
    (PODS, "--mesh-advertise=$(POD_IP):MESH"),
    (PODS, "name: http\n              containerPort: CLIENT"),
    (PODS, "name: mesh\n              containerPort: MESH\n              protocol: UDP"),
    ("deploy/kubernetes/services.yaml", "port: CLIENT\n      targetPort: http"),
    ("deploy/kubernetes/services.yaml", "port: MESH\n      protocol: UDP"),
];

/// Names of series and what stands behind them.
fn series(metrics: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.find(['{', ' ']).map(|end| line.split_at(end)))
}

fn metrics_have(metrics: &str, name: &str, label: &str, value: &str) -> bool {
    let pair = format!("{label}=\"{value}\"");
    series(metrics).any(|(other, labels)| other == name && labels.contains(&pair))
}

/// Labels and values in the braces that a text begins with, without the labels that Prometheus adds and the bound of a bucket.
fn matchers(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let inside = text.strip_prefix('{').and_then(|text| text.split_once('}')).map_or("", |parts| parts.0);
    let pairs = inside.split("\",").filter_map(|pair| pair.split_once('='));
    let own = pairs.filter(|(label, _)| !["job", "instance", "le"].contains(label));
    own.flat_map(|(label, values)| {
        values.trim_matches(['~', '"']).split('|').map(move |value| (label, value))
    })
}

/// The flags that a help text explains: each begins a line.
fn flags(help: &str) -> impl Iterator<Item = &str> {
    let starts = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    starts.filter_map(|rest| rest.split([' ', '[']).next())
}

/// Numbers of four or five digits that stand where ports do.
fn ports(text: &str) -> impl Iterator<Item = &str> {
    let is_port = move |end: usize, number: &str| {
        let (before, behind) = (&text[..end - number.len()], &text[end..]);
        let starts = [":", "ort: ", "ort: \""].iter().any(|start| before.ends_with(*start));
        matches!(number.len(), 4 | 5) && (starts || behind.starts_with("/tcp") || behind.starts_with("/udp"))
    };
    words(text, |byte| byte.is_ascii_digit()).filter(move |part| is_port(part.0, part.1)).map(|part| part.1)
}

/// The number that follows these parts of a text, each behind the one before.
fn number(text: &str, before: &[&str]) -> u64 {
    let mut rest = text;
    for part in before {
        rest = rest.split_once(*part).unwrap_or_else(|| panic!("nothing says `{part}`")).1;
    }
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("there is no number behind {before:?}"))
}

/// Runs of such bytes, with where each ends.
fn words(text: &str, belongs: impl Fn(u8) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut start = None;
    text.bytes().chain([b'\n']).enumerate().filter_map(move |(at, byte)| {
        if belongs(byte) {
            start = start.or(Some(at));
            return None;
        }
        start.take().map(|from| (at, &text[from..at]))
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// All files of the folder, with quotes as they are behind the escapes of JSON.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect("deploy", &mut files);
    assert!(files.len() > 10, "files are missing");
    files.sort();
    files
}

fn collect(folder: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(Path::new(ROOT).join(folder)).expect("the folder can be listed") {
        let entry = entry.expect("a folder that lists can be read");
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if !entry.path().is_dir() {
            let text = file(&path).replace("\\\"", "\"");
            files.push((path, text));
        } else if !path.ends_with("/keys") {
            // Keys that somebody has made there are nobody's business.
            collect(&path, files);
        }
    }
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path))
        .unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// The program, with nothing of this process' environment.
fn pushmesh(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushmesh"));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

fn help(command: &str) -> String {
    let output = pushmesh(&[command, "--help"]).output().expect("the binary can be started");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

/// What a node shows that has just become ready.
fn metrics() -> String {
    struct Killed(Child);
    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let mut command = pushmesh(&["node", "--dev", "--name", "n1"]);
    command.args(["--listen", "127.0.0.1:0", "--mesh-listen", "127.0.0.1:0"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut node = Killed(child.expect("the binary can be started"));
    let mut addr = None;
    for line in BufReader::new(node.0.stdout.take().expect("it is piped")).lines().map_while(Result::ok) {
        if let Some((_, rest)) = line.split_once(" http=") {
            addr = rest.split(' ').next().map(str::to_owned);
        }
        if line.ends_with(" ready") {
            break;
        }
    }
    let addr = addr.expect("it prints its address");
    let mut socket = TcpStream::connect(&addr).expect("the node is reached");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("the node reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("the node answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}
