//! The commands, as scripts and people use them.

use serde_json::{Value, json};

use crate::harness::{Cluster, Keys, Launch, Node, Process, eventually, pushmesh, unique};

fn url(node: &Node) -> String {
    format!("http://{}", node.addr)
}

fn lines(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).expect("--json prints JSON lines")).collect()
}

#[tokio::test]
async fn push_delivers_and_its_exit_code_says_what_happened() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.node(0).connect("42", Some("phone")).await;
    cluster.shows("42", &[("phone", "n1")]).await;
    let url = url(cluster.node(1));
    let push = async |args: &[&str]| pushmesh(&[&["push", "--url", &url][..], args].concat()).await;

    let done = push(&["--to", "user/42", "hello"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("delivered to 1 of 1 sessions"), "{done:?}");
    assert_eq!(client.next_text().await, "hello");

    let done = push(&["--to", "user/42/phone", "--id", "m1", "--json", "once"]).await;
    let answer = &lines(&done.stdout)[0];
    assert_eq!((done.code, &answer["id"], &answer["delivered"]), (0, &json!("m1"), &json!(1)), "{done:?}");
    assert_eq!(push(&["--to", "user/42/phone", "--id", "m1", "once"]).await.code, 0, "a retry is delivered");
    assert_eq!(client.next_text().await, "once");

    assert_eq!(push(&["--to", "all", "everyone"]).await.code, 0);
    assert_eq!(client.next_text().await, "everyone");
    assert_eq!(push(&["--to", "user/42", "--wait", "none", "later"]).await.code, 0);
    assert_eq!(client.next_text().await, "later");

    let args = ["push", "--url", &url, "--to", "user/42", "-"];
    assert_eq!(Process::start_with_input(&args, "from stdin").finish().await.code, 0);
    assert_eq!(client.next_text().await, "from stdin");

    let nobody = push(&["--to", "user/nobody", "x"]).await;
    assert_eq!(nobody.code, 3, "{nobody:?}");
    assert!(nobody.stderr.contains("no session"), "{nobody:?}");
    assert_eq!(push(&["--to", "nonsense", "x"]).await.code, 2);
    assert_eq!(push(&["--to", "user/42"]).await.code, 2, "there is no message");

    cluster.node(0).process.kill();
    let gone = push(&["--to", "user/42", "x"]).await;
    assert_eq!(gone.code, 4, "not known to be delivered: {gone:?}");
    assert!(gone.stderr.contains("unreachable"), "{gone:?}");
}

#[tokio::test]
async fn push_lines_streams_a_file_and_reports_its_failures() {
    let cluster = Cluster::start(1).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    let url = url(cluster.node(0));
    let args = ["push", "--url", &url, "--lines", "-"];
    let good: String =
        (0..500).map(|n| format!("{{\"to\":{{\"user\":\"u\"}},\"data\":\"{n}\"}}\n")).collect();
    let (done, ()) = tokio::join!(Process::start_with_input(&args, &good).finish(), async {
        for n in 0..500 {
            assert_eq!(client.next_text().await, n.to_string());
        }
    });
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("500"), "{done:?}");
    let bad = "{\"to\":{\"user\":\"nobody\"},\"data\":\"x\"}\nnonsense\n";
    let failed = Process::start_with_input(&args, bad).finish().await;
    assert_ne!(failed.code, 0, "{failed:?}");
    assert!(failed.stderr.contains("line 2"), "the failures are named: {failed:?}");
}

#[tokio::test]
async fn listen_prints_what_arrives_and_ends_after_the_count() {
    let cluster = Cluster::start(2).await;
    let url = url(cluster.node(0));
    let plain =
        Process::start(&["listen", "--url", &url, "--user", "a", "--device", "d", "--count", "2"], &[]);
    let enveloped = Process::start(&["listen", "--url", &url, "--user", "b", "--json", "--count", "1"], &[]);
    cluster.counts(2).await;
    for text in ["one", "two"] {
        assert_eq!(cluster.node(1).push("a", text).await.json["delivered"], 1);
    }
    let key = [("idempotency-key", "m1")];
    assert_eq!(cluster.node(1).http.call("POST", "/v1/users/b/push", &key, "x").await.json["delivered"], 1);
    let plain = plain.finish().await;
    assert_eq!((plain.code, plain.stdout.as_str()), (0, "one\ntwo\n"), "{plain:?}");
    let enveloped = enveloped.finish().await;
    assert_eq!(enveloped.code, 0, "{enveloped:?}");
    assert_eq!(lines(&enveloped.stdout), [json!({ "type": "message", "id": "m1", "data": "x" })]);
    cluster.counts(0).await;
}

#[tokio::test]
async fn listen_ends_when_it_is_kicked_or_refused() {
    let cluster = Cluster::start(1).await;
    let url = url(cluster.node(0));
    let listening = Process::start(&["listen", "--url", &url, "--user", "u"], &[]);
    cluster.counts(1).await;
    assert_eq!(cluster.node(0).delete("/v1/users/u").await.status, 200);
    let kicked = listening.finish().await;
    assert_eq!(kicked.code, 1, "{kicked:?}");
    assert!(kicked.stderr.contains("4002"), "{kicked:?}");
    let refused = pushmesh(&["listen", "--url", &url, "--user", &"u".repeat(200)]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    let refused = pushmesh(&["listen", "--url", &url, "--token", "nonsense"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("token"), "{refused:?}");
}

#[tokio::test]
async fn listen_comes_back_after_a_restart_of_its_node() {
    // A test that opens many connections could be given the port in between.
    let _alone = crate::harness::alone().await;
    let cluster = unique();
    let first = Launch::dev(&cluster, "n1").start().await;
    first.ready().await;
    let addr = first.addr.to_string();
    let listening =
        Process::start(&["listen", "--url", &format!("http://{addr}"), "--user", "u", "--count", "1"], &[]);
    first.counts(1).await;
    first.process.signal("TERM");
    assert_eq!(first.process.end().await.code(), Some(0));
    // The same address again: the kernel's choice of before is free now.
    let second = Launch::dev(&cluster, "n1").listen(&addr).start().await;
    second.ready().await;
    second.counts(1).await;
    assert_eq!(second.push("u", "welcome back").await.json["delivered"], 1);
    let done = listening.finish().await;
    assert_eq!((done.code, done.stdout.as_str()), (0, "welcome back\n"), "{done:?}");
    assert!(done.stderr.contains("1012"), "{done:?}");
}

#[tokio::test]
async fn nodes_and_sessions_list_what_is_there() {
    let cluster = Cluster::start(3).await;
    let mut clients = Vec::new();
    for n in 0..5 {
        clients.push(cluster.node(n % 3).connect(&format!("u{n}"), Some("d")).await);
    }
    cluster.counts(5).await;
    let url = url(cluster.node(0));
    let nodes = pushmesh(&["nodes", "--url", &url, "--json"]).await;
    assert_eq!(nodes.code, 0, "{nodes:?}");
    let mut found: Vec<_> = lines(&nodes.stdout)
        .iter()
        .map(|node| (node["name"].clone(), node["state"].clone(), node["sessions"].clone()))
        .collect();
    found.sort_by_key(|(name, ..)| name.to_string());
    let alive = |name: &str, sessions: u64| (json!(name), json!("alive"), json!(sessions));
    assert_eq!(found, [alive("n1", 2), alive("n2", 2), alive("n3", 1)]);
    let table = pushmesh(&["nodes", "--url", &url]).await.stdout;
    assert!(table.starts_with("NODE") && table.contains("n1*") && table.lines().count() == 4, "{table}");

    let sessions = pushmesh(&["sessions", "--url", &url, "--json"]).await;
    let mut users: Vec<_> =
        lines(&sessions.stdout).iter().map(|session| session["user"].to_string()).collect();
    users.sort();
    assert_eq!((sessions.code, users.join(",")), (0, "\"u0\",\"u1\",\"u2\",\"u3\",\"u4\"".to_owned()));
    let limited = pushmesh(&["sessions", "--url", &url, "--json", "--limit", "2"]).await;
    assert_eq!(limited.stdout.lines().count(), 2);
    let one = pushmesh(&["sessions", "--url", &url, "--user", "u1"]).await;
    assert!(one.code == 0 && one.stdout.contains("n2"), "{one:?}");
    assert_eq!(pushmesh(&["sessions", "--url", &url, "--user", "nobody"]).await.code, 3);
}

#[tokio::test]
async fn commands_present_the_api_key_and_say_when_it_is_wrong() {
    let keys = Keys::generate().await;
    let node = Launch::new(&unique(), "n1").flags(keys.flags()).key(&keys.api).start().await;
    node.ready().await;
    let url = url(&node);
    let good = pushmesh(&["nodes", "--url", &url, "--api-key-file", &keys.flag("api.key")]).await;
    assert_eq!(good.code, 0, "{good:?}");
    let by_env = Process::start(&["nodes", "--url", &url], &[("PUSHMESH_API_KEY", &keys.api)]).finish().await;
    assert_eq!(by_env.code, 0, "{by_env:?}");
    let missing = pushmesh(&["nodes", "--url", &url]).await;
    assert!(missing.code == 1 && missing.stderr.contains("unauthorized"), "{missing:?}");
    let wrong = Process::start(&["nodes", "--url", &url], &[("PUSHMESH_API_KEY", "wrong")]).finish().await;
    assert!(wrong.code == 1 && !wrong.stderr.contains(&keys.api), "{wrong:?}");
    let nobody = pushmesh(&["nodes", "--url", "http://127.0.0.1:1"]).await;
    assert!(nobody.code == 1 && nobody.stderr.contains("no pushmesh node answers"), "{nobody:?}");
}

#[tokio::test]
async fn keygen_writes_private_files_and_overwrites_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let path = dir.path().join("cluster.key");
    let flag = path.to_str().expect("temporary paths are text");
    assert_eq!(pushmesh(&["keygen", "--out", flag]).await.code, 0);
    let first = std::fs::read_to_string(&path).expect("it was written");
    assert!(first.starts_with("pmk1_"), "a cluster key is what it makes by default");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&path).expect("it is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    assert_ne!(pushmesh(&["keygen", "--out", flag]).await.code, 0);
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), first);
    let printed = pushmesh(&["keygen", "--kind", "api"]).await;
    assert!(printed.code == 0 && printed.stdout.starts_with("pma1_"), "{printed:?}");
}

#[tokio::test]
async fn a_configuration_that_can_not_work_is_refused_with_what_to_do() {
    let keys = Keys::generate().await;
    let toml = keys.write("unknown.toml", "name = \"n1\"\nlisten-on = \"127.0.0.1:0\"\n");
    let cases: [(&[&str], &str); 8] = [
        (&["--dev", "--listen", "0.0.0.0:0"], "loopback"),
        (&["--dev", "--mesh-listen", "0.0.0.0:0"], "loopback"),
        (&["--name", "n1"], "--cluster-key-file"),
        (&["--cluster-key-file", "/nowhere"], "/nowhere"),
        (&["--config", &toml], "listen-on"),
        (&["--dev", "--heartbeat-timeout", "1s"], "--heartbeat-interval"),
        (&["--dev", "--drain-timeout", "10"], "10s"),
        (&["--dev", "--peer", "nonsense"], "host:port"),
    ];
    for (args, said) in cases {
        let refused = pushmesh(&[&["node"][..], args].concat()).await;
        assert_eq!(refused.code, 2, "{args:?}: {refused:?}");
        assert!(refused.stderr.contains(said), "{args:?}: {}", refused.stderr);
        assert_eq!(refused.stdout, "", "it never listened");
    }
}

#[tokio::test]
async fn flags_win_over_the_environment_and_both_over_the_file() {
    let keys = Keys::generate().await;
    let name = unique();
    let file = format!(
        "cluster = \"{name}\"\nname = \"from-file\"\nzone = \"from-file\"\ndev = true\n\
         listen = \"127.0.0.1:0\"\nmesh-listen = \"127.0.0.1:0\"\n"
    );
    let file = keys.write("node.toml", &file);
    let args = ["node", "--config", &file, "--name", "from-flag"];
    let env = [("PUSHMESH_NAME", "from-env"), ("PUSHMESH_ZONE", "from-env")];
    let node = Process::start(&args, &env);
    let addr = eventually("the node listens", async || {
        let stdout = node.stdout();
        let addr = stdout.split("http=").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
        addr.ok_or(stdout)
    })
    .await;
    let shown = pushmesh(&["nodes", "--url", &format!("http://{addr}"), "--json"]).await;
    let shown = &lines(&shown.stdout)[0];
    assert_eq!((&shown["name"], &shown["zone"]), (&json!("from-flag"), &json!("from-env")), "{shown}");
}

/// The variables that a command knows, as its help tells.
async fn variables(command: &str) -> Vec<String> {
    let help = pushmesh(&[command, "--help"]).await.stdout;
    let names = help.match_indices("PUSHMESH_").map(|(at, _)| &help[at..]);
    let mut names: Vec<_> = names
        .map(|text| {
            text.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap_or_default().to_owned()
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn an_empty_variable_is_not_set() {
    let of_node = variables("node").await;
    assert!(of_node.len() > 30 && of_node.contains(&"PUSHMESH_CLUSTER_KEY".to_owned()), "{of_node:?}");
    for nothing in ["", " "] {
        let env: Vec<_> =
            of_node.iter().map(|name| (name.as_str(), nothing)).chain([("RUST_LOG", "")]).collect();
        let args =
            ["node", "--dev", "--name", "n1", "--listen", "127.0.0.1:0", "--mesh-listen", "127.0.0.1:0"];
        let node = Process::start(&args, &env);
        eventually("the node is ready", async || {
            let said = node.stdout();
            if said.contains("pushmesh node n1 ready") { Ok(()) } else { Err(node.stderr()) }
        })
        .await;
        node.says("node started").await; // RUST_LOG is not set either.
    }
    let commands: [&[&str]; 6] = [
        &["nodes"],
        &["sessions"],
        &["explain", "user/u"],
        &["push", "--to", "user/u", "x"],
        &["listen", "--user", "u"],
        &["token", "--user", "u", "--jwt-secret-file", "/nowhere"],
    ];
    for command in commands {
        let names = variables(command[0]).await;
        let env: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        let flags: &[&str] = if command[0] == "token" { &[] } else { &["--url", "http://127.0.0.1:1"] };
        let done = Process::start(&[command, flags].concat(), &env).finish().await;
        assert_eq!(done.code, 1, "{command:?} is understood, and then nobody is there: {done:?}");
    }
    let without_user = Process::start(&["listen"], &[("PUSHMESH_TOKEN", "")]).finish().await;
    assert_eq!(without_user.code, 2, "an empty token is none: {without_user:?}");
}

#[tokio::test]
async fn a_byte_order_mark_before_a_file_of_keys_or_settings_is_cut() {
    let keys = Keys::generate().await;
    for name in ["cluster.key", "api.key", "jwt.secret", "jwt.public.pem", "jwt.private.pem"] {
        let text = std::fs::read_to_string(keys.path(name)).expect("it was written");
        keys.write(name, &format!("\u{feff}{text}"));
    }
    let config = keys.write("node.toml", "\u{feff}zone = \"z\"\n");
    let node = Launch::new(&unique(), "n1")
        .flags(keys.flags())
        .flags(["--config", &config])
        .key(&keys.api)
        .start()
        .await;
    node.ready().await;
    assert_eq!(node.sees("n1").await["zone"], "z");
    let shown = pushmesh(&["nodes", "--url", &url(&node), "--api-key-file", &keys.flag("api.key")]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    for file in [["--jwt-secret-file", "jwt.secret"], ["--jwt-private-key-file", "jwt.private.pem"]] {
        let token = pushmesh(&["token", "--user", "u", file[0], &keys.flag(file[1])]).await;
        assert_eq!(token.code, 0, "{token:?}");
        node.dial().token(token.stdout.trim()).open().await;
    }
    // Signed with the secret that `pushmesh keygen` wrote, which has no mark.
    node.dial().token(&keys.token("u")).open().await;
    let utf_16 = keys.path("utf-16.key");
    std::fs::write(&utf_16, b"\xff\xfek\0e\0y\0").expect("a temporary file can be written");
    let utf_16 = utf_16.to_str().expect("temporary paths are text");
    for flag in ["--cluster-key-file", "--config"] {
        let refused = pushmesh(&["node", "--name", "n1", flag, utf_16]).await;
        assert!(refused.code == 2 && refused.stderr.contains("save it as UTF-8"), "{flag}: {refused:?}");
    }
}

#[tokio::test]
async fn a_demo_that_cannot_have_its_ports_says_so_and_does_not_panic() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let demo = pushmesh(&["demo", "--exit", "--port", &port]).await;
    assert_eq!(demo.code, 1, "{demo:?}");
    assert!(demo.stderr.contains("--port 0") && !demo.stderr.contains("panicked"), "{demo:?}");
    let demo = pushmesh(&["demo", "--exit", "--nodes", "10"]).await;
    assert_eq!(demo.code, 2, "{demo:?}");
}

#[tokio::test]
async fn a_demo_of_two_nodes_delivers_everything_too() {
    let _alone = crate::harness::alone().await;
    let demo = pushmesh(&["demo", "--exit", "--port", "0", "--nodes", "2"]).await;
    assert_eq!(demo.code, 0, "{demo:?}");
    assert!(demo.stdout.contains("All 24 pushes were delivered"), "{}", demo.stdout);
}

#[tokio::test]
async fn the_demo_tells_its_story_and_delivers_everything() {
    let _alone = crate::harness::alone().await;
    let demo = pushmesh(&["demo", "--exit", "--port", "0"]).await;
    assert_eq!(demo.code, 0, "{demo:?}");
    assert!(demo.stdout.contains("deliver"), "{}", demo.stdout);
}
