//! All that can be changed while a cluster runs is changed under load, one after the other: no push is answered falsely, and every
//! client is back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use rustls::RootCertStore;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{
    Dial, Http, ISSUER, Keys, Launch, Message, Node, ProviderKey, alone, eventually, key_set, pushmesh, same,
    unique, within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_under_load_survives_new_keys_new_certificates_and_restarts() {
    let _alone = alone().await;
    let site = Arc::new(Site::start().await);
    let (mut readers, mut pushers) = (JoinSet::new(), JoinSet::new());
    (0..USERS).for_each(|user| drop(readers.spawn(Arc::clone(&site).read(user))));
    site.all_are_connected().await;
    (0..USERS).for_each(|user| drop(pushers.spawn(Arc::clone(&site).push(user))));
    site.more_pushes().await;
    site.change_the_api_key().await;
    site.roll_the_key_of_the_provider().await;
    site.replace_the_certificate().await;
    site.rotate_the_cluster_key().await;
    for node in 0..NODES {
        site.restart(node).await;
        site.more_pushes().await;
    }
    site.over.store(true, Ordering::SeqCst);
    for (user, pushed) in pushers.join_all().await {
        eventually(&format!("all that u{user} was sent"), async || site.course(user).lacks(pushed)).await;
        assert_eq!(site.course(user).misplaced(), None, "u{user} got one before the other");
        assert!(!site.course(user).delivered.is_empty(), "u{user} was never there");
    }
    readers.abort_all();
    while let Some(ended) = readers.join_next().await {
        assert!(ended.is_err_and(|error| error.is_cancelled()), "a client met what it should not");
    }
}

/// Three nodes with all that they are given, and who pushes and reads there.
struct Site {
    name: String,
    keys: Keys,
    provider: [ProviderKey; 2],
    /// Which of the provider's keys signs.
    signs: AtomicUsize,
    /// Both certificates of https, the one of now and the next one.
    certificates: [[String; 2]; 2],
    roots: RootCertStore,
    nodes: Vec<RwLock<Arc<Node>>>,
    /// The node that nobody calls, because it is being restarted.
    away: AtomicUsize,
    api_key: Mutex<String>,
    answered: AtomicUsize,
    over: AtomicBool,
    courses: [Mutex<Course>; USERS],
}

/// What a user was sent: numbers from 0 on, each when the one before was answered.
#[derive(Default)]
struct Course {
    /// Of these the answer said `delivered`.
    delivered: BTreeSet<usize>,
    came: Vec<usize>,
    /// Their ids: one that comes again under its own is dropped, as a client does (docs/PROTOCOL.md, 3.6).
    ids: BTreeSet<String>,
}

impl Course {
    /// Whether as many came as were pushed, each once; if not, those that are missing, or came again.
    fn lacks(&self, pushed: usize) -> Result<(), Vec<usize>> {
        let times = |number: &usize| self.came.iter().filter(|came| *came == number).count();
        if self.came.len() == pushed && (0..pushed).eq(self.came.iter().copied().collect::<BTreeSet<_>>()) {
            return Ok(());
        }
        Err((0..pushed).filter(|number| times(number) != 1).collect())
    }

    /// Two of which the second one was `delivered` before the first one was pushed. What a node has accepted for a session that goes
    /// on elsewhere, and was not delivered, may come behind (docs/PROTOCOL.md, 4).
    fn misplaced(&self) -> Option<(usize, usize)> {
        let mut latest = 0;
        self.came.iter().find_map(|number| {
            latest = latest.max(*number);
            (*number < latest && self.delivered.contains(number)).then_some((latest, *number))
        })
    }
}

impl Site {
    async fn start() -> Self {
        let keys = Keys::generate().await;
        let provider = ["old", "new"].map(ProviderKey::new);
        keys.write("jwks.json", &key_set(&[&provider[0]]));
        let mut roots = RootCertStore::empty();
        let certificates = [(), ()].map(|()| {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("one can be made");
            roots.add(made.cert.der().clone()).expect("the certificate is one");
            [made.cert.pem(), made.signing_key.serialize_pem()]
        });
        let (api_key, name) = (Mutex::new(keys.api.clone()), unique());
        let mut site = Self {
            name,
            keys,
            provider,
            signs: AtomicUsize::new(0),
            certificates,
            roots,
            nodes: Vec::new(),
            away: AtomicUsize::new(usize::MAX),
            api_key,
            answered: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            courses: Default::default(),
        };
        site.write_certificate(0);
        let cluster_key = std::fs::read_to_string(site.keys.path("cluster.key")).expect("it was generated");
        for index in 0..NODES {
            site.keys.write(&cluster_key_of(index), &cluster_key);
            let node = site.launch(index).start().await;
            site.nodes.push(RwLock::new(Arc::new(node)));
        }
        for index in 0..NODES {
            site.node(index).ready().await;
        }
        site.all_see_each_other().await;
        site
    }

    fn launch(&self, index: usize) -> Launch {
        let flag = |name: &str| self.keys.flag(name);
        let peers: Vec<_> =
            self.nodes.iter().map(|node| Arc::clone(&node.read().expect("no panic"))).collect();
        Launch::new(&self.name, &name_of(index))
            .flags(["--cluster-key-file", &flag(&cluster_key_of(index)), "--api-key-file", &flag("api.key")])
            .flags(["--jwks-file", &flag("jwks.json"), "--jwt-issuer", ISSUER, "--jwt-audience", "push"])
            .flags(["--tls-cert", &flag("tls.pem"), "--tls-key", &flag("tls.key")])
            .flags(["--drain-delay", "300ms"])
            .peers(peers.iter().map(|node| &**node).filter(|node| node.name != name_of(index)))
            .https(self.roots.clone())
            .key(&self.keys.api)
    }

    fn node(&self, index: usize) -> Arc<Node> {
        Arc::clone(&self.nodes[index].read().expect("no panic"))
    }

    fn course(&self, user: usize) -> MutexGuard<'_, Course> {
        self.courses[user].lock().expect("no panic")
    }

    fn backend(&self, index: usize) -> Http {
        self.node(index).http.with_key(Some(&self.api_key.lock().expect("no panic")))
    }

    async fn all_see_each_other(&self) {
        for index in 0..NODES {
            for other in (0..NODES).filter(|other| *other != index) {
                let (backend, other) = (self.backend(index), self.node(other));
                eventually(&format!("{} sees {}", name_of(index), other.name), async || {
                    let nodes = backend.call("GET", "/v1/nodes", &[], "").await.json;
                    let seen = nodes["nodes"]
                        .as_array()
                        .and_then(|nodes| nodes.iter().find(|n| n["name"] == other.name.as_str()));
                    let seen = seen.map(|seen| (seen["state"].clone(), seen["incarnation"].as_u64()));
                    same(seen, Some((json!("alive"), Some(other.incarnation)))).map(|_| ())
                })
                .await;
            }
        }
    }

    /// Waits until every node knows all clients.
    async fn all_are_connected(&self) {
        for index in 0..NODES {
            eventually("the clients", async || {
                let stats = self.backend(index).call("GET", "/v1/stats", &[], "").await.json;
                same(stats["sessions"].as_u64(), Some(USERS as u64)).map(|_| ())
            })
            .await;
        }
    }

    /// Waits until some more pushes of each user are answered.
    async fn more_pushes(&self) {
        let enough = self.answered.load(Ordering::SeqCst) + 10 * USERS;
        eventually("pushes go on", async || match self.answered.load(Ordering::SeqCst) {
            answered if answered >= enough => Ok(()),
            answered => Err((answered, enough)),
        })
        .await;
    }

    /// Has every node read its files again.
    fn hang_up(&self) {
        (0..NODES).for_each(|index| self.node(index).process.signal("HUP"));
    }

    async fn change_the_api_key(&self) {
        let status = async |index: usize, key: &str| {
            self.node(index).http.with_key(Some(key)).call("GET", "/v1/stats", &[], "").await.status
        };
        let answers = async |key: &str, expected: u16| {
            for index in 0..NODES {
                eventually("the API keys", async || same(status(index, key).await, expected).map(|_| ()))
                    .await;
            }
        };
        self.keys.write("api.key", &format!("{}\n{NEW_API_KEY}\n", self.keys.api));
        self.hang_up();
        answers(NEW_API_KEY, 200).await;
        NEW_API_KEY.clone_into(&mut self.api_key.lock().expect("no panic"));
        self.more_pushes().await; // The calls that were under way with the old one are over.
        self.keys.write("api.key", NEW_API_KEY);
        self.hang_up();
        answers(&self.keys.api, 401).await;
        self.more_pushes().await;
    }

    async fn roll_the_key_of_the_provider(&self) {
        let [old, new] = &self.provider;
        let statuses = async |key: &ProviderKey, expected: u16| {
            for index in 0..NODES {
                eventually("the keys of the provider", async || {
                    let node = self.node(index);
                    let answer =
                        node.dial().token(&key.token("nobody")).query("errors", "status").answer().await;
                    same(answer.status, expected).map(|_| ())
                })
                .await;
            }
        };
        self.keys.write("jwks.json", &key_set(&[old, new]));
        self.hang_up();
        statuses(new, 101).await;
        self.signs.store(1, Ordering::SeqCst);
        self.keys.write("jwks.json", &key_set(&[new]));
        self.hang_up();
        statuses(old, 401).await;
        self.more_pushes().await;
    }

    fn write_certificate(&self, which: usize) {
        let [cert, key] = &self.certificates[which];
        self.keys.write("tls.pem", cert);
        self.keys.write("tls.key", key);
    }

    async fn replace_the_certificate(&self) {
        self.write_certificate(1);
        self.hang_up();
        let mut roots = RootCertStore::empty();
        let der = rustls_pki_types::pem::PemObject::from_pem_slice(self.certificates[1][0].as_bytes());
        roots.add(der.expect("it is a certificate")).expect("it is one to trust");
        for index in 0..NODES {
            let base = format!("https://localhost:{}", self.node(index).addr.port());
            eventually("the new certificate", async || {
                let http = Http::new(base.clone(), None, roots.clone());
                let answer = http.try_call("GET", "/livez", &[], "").await;
                same(answer.map(|answer| answer.status).map_err(|error| error.to_string()), Ok(200))
                    .map(|_| ())
            })
            .await;
        }
        self.more_pushes().await;
    }

    /// As docs/OPERATIONS.md says: all accept the new key, then all sign with it, then nobody accepts the old one.
    async fn rotate_the_cluster_key(&self) {
        let next = self.keys.flag("next.key");
        let made = pushmesh(&["keygen", "--after", &self.keys.flag("cluster.key"), "--out", &next]).await;
        assert_eq!(made.code, 0, "{}", made.stderr);
        let text = std::fs::read_to_string(&next).expect("keygen wrote it");
        let [old, new, hash] = text.lines().collect::<Vec<_>>().try_into().expect("it has three lines");
        for (lines, trusted) in [(vec![old, new, hash], 2), (vec![new, old, hash], 2), (vec![new, hash], 1)] {
            let mut words = None;
            for index in 0..NODES {
                let before = trusted_by(&self.node(index));
                self.keys.write(&cluster_key_of(index), &lines.join("\n"));
                self.node(index).process.signal("HUP");
                let now = eventually("the cluster keys", async || {
                    let now = trusted_by(&self.node(index));
                    if now != before && now.len() == trusted { Ok(now) } else { Err(now) }
                })
                .await;
                assert_eq!(*words.get_or_insert(now.clone()), now, "all nodes agree after each round");
                self.more_pushes().await;
            }
        }
        self.all_see_each_other().await;
        // Who has nothing but the old key is not let in any more.
        let refused = "pushmesh_mesh_handshakes_refused_total{reason=\"identity\"} ";
        let asked = self.backend(0);
        let refusals = async || {
            let metrics = asked.call("GET", "/metrics", &[], "").await.text();
            let count = metrics.lines().find_map(|line| line.strip_prefix(refused)).expect("it is counted");
            count.parse::<u64>().expect("it is a number")
        };
        let before = refusals().await;
        let thief =
            Launch::new(&self.name, "thief").flags(self.keys.flags()).peers([&*self.node(0)]).start().await;
        eventually("the thief is refused", async || match refusals().await {
            after if after > before => Ok(()),
            after => Err((before, after)),
        })
        .await;
        let nodes = asked.call("GET", "/v1/nodes", &[], "").await.text();
        assert!(!nodes.contains("thief"), "{nodes}");
        drop(thief);
    }

    async fn restart(&self, index: usize) {
        self.away.store(index, Ordering::SeqCst);
        let node = self.node(index);
        node.process.signal("TERM");
        assert_eq!(node.process.end().await.code(), Some(0), "{}", node.process.stderr());
        let node = self.launch(index).start().await;
        node.ready().await;
        *self.nodes[index].write().expect("no panic") = Arc::new(node);
        self.away.store(usize::MAX, Ordering::SeqCst);
        self.all_see_each_other().await;
    }

    /// Pushes numbers to a user, each until it is accepted, and says how many there were.
    async fn push(self: Arc<Self>, user: usize) -> (usize, usize) {
        let mut number = 0;
        while !self.over.load(Ordering::SeqCst) {
            self.push_one(user, number).await;
            number += 1;
        }
        (user, number)
    }

    async fn push_one(&self, user: usize, number: usize) {
        let id = format!("{user}-{number}");
        let path = format!("/v1/users/u{user}/push");
        within(&format!("push {id}"), async {
            loop {
                let entry =
                    (number + user..).map(|n| n % NODES).find(|n| *n != self.away.load(Ordering::SeqCst));
                let backend = self.backend(entry.expect("one of them is there"));
                // The connection of a node that has gone meanwhile says nothing of what became of the push: it is asked again, with
                // the same id.
                match backend.try_call("POST", &path, &[("idempotency-key", &id)], number.to_string()).await {
                    Ok(answer) if answer.status == 200 => {
                        if answer.json["delivered"] == 1 {
                            self.course(user).delivered.insert(number);
                        }
                        return;
                    }
                    Ok(answer) if matches!(answer.status, 502..=504) => {}
                    Ok(answer) => panic!("{answer:?}"),
                    Err(_) => {}
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        self.answered.fetch_add(1, Ordering::SeqCst);
    }

    /// Reads as a user, at another node whenever the one before closes, and checks that nothing is said to be missing.
    async fn read(self: Arc<Self>, user: usize) {
        let (mut at, mut resume) = (user % NODES, None::<String>);
        let mut positions = BTreeMap::<String, u64>::new();
        loop {
            let node = self.node(at);
            let mut client = self.dial(&node, user, resume.as_deref(), &positions).open().await;
            let mut current = String::new();
            let closed = loop {
                let frame = match client.next_json_or_end().await {
                    Ok(frame) => frame,
                    Err(closed) => break closed,
                };
                let text = |field: &str| frame[field].as_str().map(str::to_owned);
                match frame["type"].as_str() {
                    Some("welcome") => {
                        current = text("segment").expect("the session is kept");
                        let back = resume.replace(text("resume").expect("it can be resumed"));
                        assert!(back.is_none() || frame["resumed"] != "none", "{frame}");
                        // What its owner has not handed over in time comes later.
                        let waits = frame["resumed"] == "partial";
                        assert!(waits || frame.get("missing").is_none(), "{frame}");
                    }
                    Some("message") => {
                        let segment = text("segment").unwrap_or_else(|| current.clone());
                        let n = frame["n"].as_u64().expect("messages are numbered");
                        positions.insert(segment.clone(), n);
                        client
                            .send(Message::text(
                                json!({ "type": "ack", "n": n, "segment": segment }).to_string(),
                            ))
                            .await;
                        let number = text("data").and_then(|data| data.parse().ok());
                        let mut course = self.course(user);
                        if course.ids.insert(text("id").expect("it has an id")) {
                            course.came.push(number.expect("it is a number"));
                        }
                    }
                    Some("gap") => {
                        // The client has acknowledged that at an earlier node.
                        assert_eq!(frame["why"], "acknowledged", "{frame}");
                        let to = frame["to"].as_u64().expect("a gap has an end");
                        let at = positions.entry(text("segment").unwrap_or_else(|| current.clone()));
                        at.and_modify(|n| *n = to.max(*n)).or_insert(to);
                    }
                    Some("resumed") => assert_ne!(frame["resumed"], "none", "{frame}"),
                    Some("closed") => _ = positions.remove(&text("segment").expect("it has a name")),
                    _ => panic!("{frame}"),
                }
            };
            // The node stops, or sends it elsewhere; and no other connection takes the session.
            assert!(matches!(closed, None | Some(1012 | 1013)), "u{user} at {}: {closed:?}", node.name);
            at = (at + 1) % NODES;
        }
    }

    fn dial<'a>(
        &self,
        node: &'a Node,
        user: usize,
        resume: Option<&str>,
        positions: &BTreeMap<String, u64>,
    ) -> Dial<'a> {
        let token = self.provider[self.signs.load(Ordering::SeqCst)].token(&format!("u{user}"));
        let dial = node.dial().token(&token).device("d").query("keep", "120").envelopes();
        let Some(resume) = resume else { return dial };
        let after: Vec<_> =
            positions.iter().rev().take(4).map(|(segment, n)| format!("{segment}.{n}")).collect();
        let dial = dial.query("resume", resume);
        if after.is_empty() { dial } else { dial.query("after", &after.join(",")) }
    }
}

/// The authorities that a node trusts by the last line of its log that names them.
fn trusted_by(node: &Node) -> Vec<String> {
    let said = node.process.stderr();
    let list = said
        .lines()
        .rev()
        .find_map(|line| Some(line.split_once("trusted=[")?.1.split_once(']')?.0.to_owned()));
    list.map(|list| list.split(", ").map(str::to_owned).collect()).unwrap_or_default()
}

fn name_of(index: usize) -> String {
    format!("n{}", index + 1)
}

fn cluster_key_of(index: usize) -> String {
    format!("cluster-{}.key", name_of(index))
}

const NODES: usize = 3;
const USERS: usize = 6;
const NEW_API_KEY: &str = "another-key-of-a-backend-0123456789";
