//! Every bound of the system in one place, with its unit and where the number comes from.
//!
//! A bound that an operator may change is a [`Config`](crate::config::Config) field whose default
//! stands here; all others are compile-time constants. The relations between them are asserted
//! below, so that a change that breaks one does not build.

use std::time::Duration;

// Identifiers.

/// Bytes of a node or cluster name. Source: the length of a DNS label, so that a host name fits.
pub const NODE_NAME_BYTES_MAX: usize = 63;
/// Longest zone. Guess: several times what clouds call theirs; each member keeps it of all others.
pub const ZONE_BYTES_MAX: usize = 128;
/// Bytes of a user id. Guess: a UUID, an e-mail address or a URN fits.
pub const USER_BYTES_MAX: usize = 128;
/// Bytes of a device id. Guess: twice a UUID.
pub const DEVICE_BYTES_MAX: usize = 64;
/// Bytes of a message id or idempotency key. Guess: a UUID with a prefix fits.
pub const MESSAGE_ID_BYTES_MAX: usize = 64;

/// Bytes of a login, the `sid` of a client token. Guess: as a user.
pub const LOGIN_BYTES_MAX: usize = 128;

/// Bytes of a file with a key, certificates or settings. Guess: many times the certificates of all public authorities.
pub const TEXT_FILE_BYTES_MAX: usize = 4 << 20;

/// Threads that carry connections and pushes, the largest value of `--threads`. Guess: more than any machine has cores for.
pub const THREADS_MAX: usize = 1_024;

// What a caller or a client may send.

/// Bytes of one pushed payload, default of `--max-payload-bytes`.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// The largest value that `--max-payload-bytes` accepts: one frame of the mesh has to carry it.
pub const PAYLOAD_BYTES_CEILING: usize = 16 << 20;
/// Bytes of one message from a WebSocket client, default of `--max-client-message-bytes`.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Bytes of a request's path and query together. Source: the common 8 KiB of HTTP servers.
pub const URL_BYTES_MAX: usize = 8 << 10;
/// Bytes of all header names and values of a request. Source: the common 16 KiB of HTTP servers.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
/// What hyper may buffer for one request head before it answers by itself; above the two bounds
/// before, so that the clear error is the one that callers meet.
pub const HTTP_BUFFER_BYTES: usize = 64 << 10;
/// How long a connection may take to send its request head, against slow-header attacks. Guess.
pub const HTTP_HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection of the API may be idle between two requests, default of `--keep-alive`. Source: above
/// the 60 s for which the pools of common balancers and HTTP clients keep a connection.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The shortest `--keep-alive`. Guess: some round trips.
pub const KEEP_ALIVE_MIN: Duration = Duration::from_secs(1);
/// How long a write of an answer may make no progress, before the caller is given up. Source: as long as a pause
/// within what it sends.
pub const HTTP_WRITE_TIMEOUT: Duration = HTTP_HEADER_TIMEOUT;
/// How long a TLS handshake of a client may take. Guess.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// TLS handshakes with clients in progress at once. Guess: bounds the memory of a connect storm.
pub const TLS_HANDSHAKES_MAX: usize = 1_024;
/// API requests (not WebSockets) in progress at once; more are answered 503. Guess.
pub const API_REQUESTS_MAX: usize = 4_096;
/// The longest while of a rate. Guess: a client that has to wait for longer is better refused for good.
pub const RATE_WITHIN_MAX: Duration = Duration::from_secs(3_600);
/// Bytes of one line of `POST /v1/push`: base64 of the largest payload and its envelope.
pub const NDJSON_LINE_OVERHEAD_BYTES: usize = 4 << 10;
/// Lines of one `POST /v1/push` whose answer is awaited at the same time. Measured later; guess.
pub const NDJSON_WINDOW: usize = 256;
/// How far ahead a client token may expire, default of `--max-token-lifetime`: a year, leap years
/// included. Source: what is further ahead is a time in milliseconds, or a token that never ends.
pub const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The largest value that `--max-token-lifetime` accepts: a hundred years. Arithmetic: a time in
/// milliseconds that is taken for one in seconds is five hundred times as far ahead.
pub const TOKEN_LIFETIME_CEILING: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);
/// Bytes of a key set. Guess: a hundred keys with their certificates.
pub const KEY_SET_BYTES_MAX: usize = 1 << 20;
/// Keys of a key set, those that are skipped included. Guess: many times what identity providers publish.
pub const KEY_SET_KEYS_MAX: usize = 100;
/// Keys of key sets that one token is tried with: what a client that nobody knows may cost. Guess: a `kid` names one or two, and a
/// provider that writes none has some for an algorithm.
pub const TOKEN_KEYS_TRIED_MAX: usize = 16;
/// Entries of one page of `GET /v1/sessions`.
pub const SESSIONS_PAGE_MAX: usize = 1_000;
/// Entries of one page of `GET /v1/sessions` when the caller names no limit.
pub const SESSIONS_PAGE_DEFAULT: usize = 100;

// Sessions.

/// WebSocket connections of one node, default of `--max-connections`.
pub const CONNECTIONS_MAX: usize = 100_000;
/// Sessions of one user, default of `--max-sessions-per-user`. Guess.
pub const SESSIONS_PER_USER_MAX: usize = 100;
/// The largest value that `--max-sessions-per-user` accepts: one frame has to list them.
pub const SESSIONS_PER_USER_CEILING: usize = 1_000;
/// Messages waiting in one session's outbox or being written, default of `--outbox-messages`. Guess.
pub const OUTBOX_MESSAGES_MAX: usize = 1_024;
/// Bytes waiting in one session's outbox or being written, default of `--outbox-bytes`: four payloads.
pub const OUTBOX_BYTES_MAX: usize = 4 << 20;
/// Messages written to a socket before it is flushed once. Guess.
pub const OUTBOX_BATCH_MAX: usize = 64;
/// Bytes of payload after which a batch takes no more messages: what is being written is in memory twice,
/// as messages and as frames. Guess: far more than a system call costs.
pub const OUTBOX_BATCH_BYTES_MAX: usize = 256 << 10;
/// Ids of pushes that a session remembers to recognise a retry. Guess.
pub const IDEMPOTENCY_WINDOW: usize = 256;
/// Messages on their way to a client that has not acknowledged them; the others wait. Source: what `welcome` says as `window`;
/// it keeps a fast network busy, as the client acknowledges every 16.
pub const WINDOW: usize = 256;
/// Bytes of payload on their way so; one more message may begin below it. Guess: as [`OUTBOX_BATCH_BYTES_MAX`].
pub const WINDOW_BYTES: usize = 256 << 10;
/// Messages that a session holds for its client beyond those of its outbox, default of the store: the window. It costs at
/// most `KEPT_MESSAGES_MAX + OUTBOX_MESSAGES_MAX` times [`KEPT_MESSAGE_OVERHEAD`] a session, 320 KiB, beside the payloads.
pub const KEPT_MESSAGES_MAX: usize = WINDOW;
/// Bytes of payload that a session holds so. It costs at most that and `OUTBOX_BYTES_MAX`, 4.25 MiB, a session.
pub const KEPT_BYTES_MAX: usize = WINDOW_BYTES;
/// Bytes that a node holds for its clients, overhead included, for messages that it accepted, and as many for those that
/// earlier owners have handed over. It costs at most twice that, 512 MiB, a node.
pub const KEPT_NODE_BYTES_MAX: usize = 256 << 20;
/// What a message that is held counts beside its payload. Measured: an entry of the log and the message itself.
pub const KEPT_MESSAGE_OVERHEAD: usize = 256;
/// How long a session may be kept for its client, default of `--keep-max`. Guess: a tunnel, a lift, a rolling restart.
pub const KEEP_MAX: Duration = Duration::from_secs(300);
/// The largest value that `--keep-max` accepts: a day. Guess: messages in memory are no archive.
pub const KEEP_CEILING: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a client that came back waits for what it missed before it is told that a part of it may be missing, default of
/// `--resume-timeout`. Guess: as a push waits for its receipts.
pub const RESUME_TIMEOUT: Duration = PUSH_TIMEOUT;
/// Nodes that are to hold the messages of a group beside its owner, default of `--copies`. Source: the design; sessions that are not
/// kept cost nothing by it.
pub const COPIES: usize = COPIES_MAX;
/// Nodes that hold the messages of a group beside its owner, at most. Source: the design; one that is lost leaves one, while it is
/// replaced. It costs at most as many times what an owner holds.
pub const COPIES_MAX: usize = 2;
/// Members of a group that have to have a message so that it counts as stored. Source: the design. More than half of the members
/// would let two claims each seal enough of them by themselves.
pub const STORED_AT: usize = 1;
/// What the client of a session has not acknowledged within that is copied to members of its group, default of
/// [`Tuning::copied_after`](crate::config::Tuning::copied_after). Measured: the bench `cluster` has a table of what other times cost (`--parts
/// copies`). A client acknowledges after 10 ms or 16 messages; on a busy machine 20 ms copies much of what it has acknowledged.
pub const COPIED_AFTER: Duration = Duration::from_millis(50);
/// How long a member may hold what a client has acknowledged: it is told with what follows, which saves a datagram and its answer.
/// Guess: far below what anybody counts, and many messages of a busy node.
pub const TRIMMED_WITHIN: Duration = Duration::from_millis(50);
/// Frames that wait for a member; one that takes so little is replaced. Guess: seconds of everything that a node can accept. They cost
/// at most some 200 bytes each beside the messages, 13 MiB a member.
pub const LOG_FRAMES_MAX: usize = 1 << 16;
/// How long a member may not answer before it is replaced. Guess: as [`BUFFERED_AFTER`], so that a publisher that waits may still be told.
pub const MEMBER_SILENCE_MAX: Duration = BUFFERED_AFTER;
/// How long an owner is waited for that has not let go, once nothing that was stored is missing without it. Guess: some round trips.
pub const OWNER_ANSWERS_WITHIN: Duration = Duration::from_millis(50);
/// How long a claim may not be shown by the directory that stands above one of this node, before the client is to come back and be claimed
/// above it. Guess: as a superseded claim lingers.
pub const OUTCLAIMED_SHOWN_WITHIN: Duration = RELEASE_LINGER;
/// Sessions of which such a claim is remembered. They cost at most 4 MiB. Source: the design, which allows as many fences.
pub const OUTCLAIMED_MAX: usize = 1 << 16;
/// Boots whose groups a session follows; a takeover that is told of more is given up. Guess: far more than own a session before one of
/// them has all of it.
pub const OWNERS_FOLLOWED_MAX: usize = 64;
/// Configurations of one group that may be in effect, as far as whoever takes a session over is told. With more it is never complete. Guess:
/// far more changes than are given up before one takes effect.
pub const CONFIGS_KNOWN_MAX: usize = 64;
/// Positions that a member is told at once that it need not hold any more. Arithmetic: a fortieth of a frame's header.
pub const RELEASED_MAX: usize = 1 << 10;
/// For how long a member that has no room is not asked again. Guess: some of what it holds is acknowledged by then.
pub const MEMBER_FULL_FOR: Duration = Duration::from_secs(10);
/// How long after the end of its keep a node may still hold what a session owes. Source: the design, which promises it.
pub const DROPPED_WITHIN: Duration = Duration::from_secs(15);
/// Positions that a client names when it comes back. Source: more segments are unread only where a session moved that often
/// without a word to its client.
pub const POSITIONS_MAX: usize = 4;
/// The greatest number of a message in its segment. Source: the numbers of JSON are exact up to there; no session comes near it.
pub const NUMBER_MAX: u64 = 1 << 53;
/// Earlier segments of which a session owes messages; there is no room for those of more. Guess: far more than owners that a session has
/// while its client acknowledges nothing.
pub const SEGMENTS_OWED_MAX: usize = 1 << 10;
/// Messages of a session from earlier owners, and places of such that never came, where a place is added; there is no room for more
/// places. Arithmetic: 4 MiB a session. Guess: far more than an owner accepts by default.
pub const PLACES_OWED_MAX: usize = 1 << 16;
/// Earlier segments of a session that its owner knows to have in full, the latest. A client that names an older one is told that
/// something may be missing. Costs at most 12 bytes each, where a session has moved. Guess: a client forgets a segment that it is
/// told the end of, and names four.
pub const SEGMENTS_INHERITED_MAX: usize = 16;
/// Bytes of the attributes of a session, as JSON without spaces and without the login. Source: design; what a cookie may
/// have. They cost at most that a session, 400 MiB with [`CONNECTIONS_MAX`] sessions, and as much for parked ones.
pub const ATTRIBUTES_BYTES_MAX: usize = 4 << 10;
/// Levels of objects and lists in them. Guess: far more than anybody nests, and few enough for any reader.
pub const ATTRIBUTES_DEPTH_MAX: usize = 32;
/// First pause before a hand-over that failed is tried again; doubles up to [`HAND_OVER_AGAIN_MAX`]. Guess: the next owner
/// claims the session within some round trips.
pub const HAND_OVER_AGAIN_MIN: Duration = Duration::from_millis(10);
/// Longest pause before a hand-over that failed is tried again. Guess: as often as a dispute looks again.
pub const HAND_OVER_AGAIN_MAX: Duration = RELEASE_LINGER;
/// Messages of one request of a hand-over. Arithmetic: their headers are a tenth of a frame's.
pub const HAND_OVER_MESSAGES_MAX: usize = 1_024;
/// Bytes of payload of one request of a hand-over that has several messages. Guess: as a batch for a client.
pub const HAND_OVER_BYTES_MAX: usize = 256 << 10;
/// How often a client is pinged, default of `--heartbeat-interval`. Source: below the 30 s and
/// 60 s after which common proxies drop silent connections.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(25);
/// How long a client may be silent, default of `--heartbeat-timeout`: two pings and some grace.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a closing handshake with a client may take before the socket is dropped. Guess.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a node waits for the previous owner of a key to let go of it. After that the claim
/// stands all the same: the stamp decides. Source: many round trips of any sane network.
pub const TAKEOVER_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a superseded session keeps its claim and its place: the winner's claim and our release
/// reach a third node on different streams, and it must never see the key unowned in between.
/// Source: five times the longest gathering time of the directory.
pub const RELEASE_LINGER: Duration = Duration::from_secs(1);

// Pushes.

/// How long a push waits for its receipts, default of `--push-timeout`.
pub const PUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// After this the owner answers `buffered` for a message that the socket has not taken: half the
/// push timeout, so that the answer arrives within it.
pub const BUFFERED_AFTER: Duration = Duration::from_secs(1);
/// Of a call that asks several nodes the answers of the others wait for one whose link is silent since it
/// was asked, no longer than that. Source: a node that is well acknowledges within milliseconds, and
/// answers `buffered` after as long.
pub const OTHERS_WAIT_MAX: Duration = BUFFERED_AFTER;
/// How often a push may be sent on after a `Moved` answer.
pub const HOPS_MAX: u8 = 3;

// The mesh.

/// Push streams of one link. A large message delays only the pushes of its own stream.
pub const LANES: usize = 4;
/// Requests waiting in one lane of a link; more are refused as overloaded. Guess.
pub const LANE_REQUESTS_MAX: usize = 4_096;
/// Bytes waiting in one lane of a link; more are refused as overloaded. Guess.
pub const LANE_BYTES_MAX: usize = 64 << 20;
/// Bytes of broadcasts that wait for their turn at a node's own sessions; more are refused as overloaded. Guess.
pub const FANOUT_BYTES_MAX: usize = 64 << 20;
/// Broadcasts that wait so. Source: each session's outbox holds as many.
pub const FANOUT_MESSAGES_MAX: usize = OUTBOX_MESSAGES_MAX;
/// Receipts waiting on one link. A receipt answers a request that was counted, so that this is
/// the sum of what the peer's lanes hold and what is in flight.
pub const RECEIPTS_MAX: usize = 2 * LANES * LANE_REQUESTS_MAX;
/// Requests of a link that wait for their receipt; more are refused as overloaded.
pub const PENDING_MAX: usize = LANES * LANE_REQUESTS_MAX;
/// Bytes of a frame's header, before any allocation. The longest ones list the devices of a user
/// or the entries of a snapshot's chunk; the relations below bound both.
pub const FRAME_HEADER_BYTES_MAX: usize = 1 << 20;
/// Bytes of a frame's payload.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = PAYLOAD_BYTES_CEILING;
/// Weight of the receipts that wait on one link, in outcomes; requests are not read while more do. Guess: a page of
/// names for each of hundreds of questions.
pub const RECEIPTS_WEIGHT_MAX: usize = 1 << 18;
/// Streams that a peer may open in a second, in the long run; the next ones wait. Guess: far above a round of gossip
/// and the pulls of a large cluster.
pub const STREAMS_PER_SECOND: u32 = 200;
/// A stream that says nothing for so long is an offence, unless it is one that lasts. Guess: what is written with the
/// opening of a stream arrives within some round trips.
pub const STREAM_SILENCE_MAX: Duration = Duration::from_secs(5);
/// A peer that is heard and takes nothing of what waits for it for so long is cut off. Guess: longer than any pause
/// of a node that works.
pub const LINK_STALL_MAX: Duration = Duration::from_secs(15);
/// A peer that takes requests and answers none of them for so long is cut off. Guess: a broadcast behind the longest
/// queue is answered sooner.
pub const ANSWER_SILENCE_MAX: Duration = Duration::from_secs(60);
/// Gossip messages that a peer may send in a second, in the long run. Arithmetic: a round of two nodes is six
/// messages, twice a second.
pub const GOSSIP_PER_SECOND: u32 = 100;
/// Gossip messages above the rate, without a pause, that end the link. Guess.
pub const GOSSIP_DROPPED_MAX: u32 = 1_000;
/// Comparisons of digests that a peer may ask for in a second. Source: it asks once in [`DIGEST_INTERVAL`].
pub const DIGESTS_PER_SECOND: u32 = 4;
/// Copies that a peer may call wrong at once, and one a second after that. Guess: a peer whose own copies are wrong is
/// heard, and one that lies makes no section travel without pause.
pub const ACCUSATIONS_AT_ONCE: u32 = 8;
/// How often a silent link sends a packet. Source: design; three of them fit [`LINK_IDLE_SUSPECT`].
pub const LINK_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// A link without a packet for this long closes.
pub const LINK_IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a process begins again that was told, while it joined, that a later boot of its name is known. Guess: once is
/// enough, unless peers that know more come up one after the other; and two processes of one name soon stop to raise each other.
pub const BEGUN_AGAIN_MAX: u32 = 3;
/// A link that was silent for this long is closed by the node itself: QUIC waits longer where the path was slow and lossy.
/// Arithmetic: twice the idle timeout, so that QUIC comes first where it can.
pub const LINK_SILENCE_MAX: Duration = Duration::from_millis(2 * LINK_IDLE_TIMEOUT.as_millis() as u64);
/// A round of the watch that comes later than this after the one before says that the process was stopped meanwhile.
/// Guess: five rounds, more than a busy machine takes.
pub const ROUND_LATE_MAX: Duration = Duration::from_millis(5 * OVERLAY_TICK.as_millis() as u64);
/// A link that was heard within this time is alive for certain. Source: two keep-alives, of which one may be lost.
pub const LINK_FRESH: Duration = Duration::from_millis(2 * LINK_KEEP_ALIVE.as_millis() as u64);
/// A link without a packet for this long makes its peer suspect.
pub const LINK_IDLE_SUSPECT: Duration = Duration::from_secs(3);
/// How long one dial may take.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// First pause after a failed dial; doubles up to [`DIAL_BACKOFF_MAX`].
pub const DIAL_BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest pause between two dials of one address.
pub const DIAL_BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How long a link that lost against its twin (simultaneous open) is kept for what is in flight.
pub const LINK_RETIRE: Duration = Duration::from_secs(5);
/// How long the exchange of hellos may take.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(3);
/// A peer whose settings differ from this node's is dialled again after this. Source: an operator has to act.
pub const DISAGREED_RETRY: Duration = Duration::from_secs(10);
/// Addresses that are dialled or linked at the same time.
pub const PEERS_MAX: usize = 1_024;
/// A peer that was cut off so often within [`OFFENCES_WITHIN`] is not linked until fewer were. Guess: once and again may be
/// bad luck.
pub const OFFENCES_MAX: usize = 3;
/// See [`OFFENCES_MAX`].
pub const OFFENCES_WITHIN: Duration = Duration::from_secs(60);
/// Links to one peer that lost against another one and are kept for what is in flight. Source: dials that cross
/// leave one; a peer that dials without end keeps no more.
pub const LINKS_RETIRED_MAX: usize = 4;
/// Handshakes of members that are under way at a node. Source: all of them come back at once.
pub const MEMBER_HANDSHAKES_MAX: usize = PEERS_MAX;
/// Of those, from one machine (of IPv6, from one /64): one that is in other hands leaves room for the others.
pub const MEMBER_HANDSHAKES_PER_HOST_MAX: usize = MEMBER_HANDSHAKES_MAX / 4;
/// Handshakes of strangers that are under way. Arithmetic: some 40 KB each.
pub const STRANGER_HANDSHAKES_MAX: usize = 64;
/// Of those, without a proof of their address: each is answered with three times the bytes of its first packet.
pub const ANONYMOUS_HANDSHAKES_MAX: usize = 4;
/// Handshakes under way from one address; of IPv6, from one /64. Guess: a dial, a probe and some that were lost.
pub const HANDSHAKES_PER_ADDRESS_MAX: usize = 16;
/// Handshakes with strangers that begin in a second. Arithmetic: about half a millisecond of one core each, and
/// what is kept of one for a second after its end.
pub const STRANGERS_PER_SECOND: u32 = 50;
/// Passes of members that a node remembers, so that nobody repeats one. Guess: an hour of dials that fail.
pub const PASSES_REMEMBERED: usize = 4 * PEERS_MAX;
/// First packets that wait for the node to look at them. Guess: what arrives while it is busy elsewhere.
pub const FIRST_PACKETS_MAX: usize = 256;
/// Bytes of packets that follow a first one before the node has looked at that, of one connection and of all.
pub const FIRST_PACKETS_BYTES_MAX: (u64, u64) = (16 << 10, 1 << 20);
/// Time between two log lines about handshakes that were refused, or about one peer that is not linked.
pub const REFUSALS_LOGGED_EVERY: Duration = Duration::from_secs(10);
/// Gossip messages waiting for one peer; the oldest is dropped, the next round repeats it.
pub const GOSSIP_MAILBOX: usize = 2;
/// Gossip messages received and not yet processed; the newest is dropped.
pub const GOSSIP_INBOX: usize = 1_024;
/// Bytes of one gossip message. Source: the payload of a UDP datagram, which chitchat fills.
pub const GOSSIP_BYTES_MAX: usize = 65_507;
/// What the deltas of one gossip message may unpack to, in bytes. Arithmetic: 1,024 members with 400 bytes of text
/// each are a tenth of it.
pub const GOSSIP_UNPACKED_BYTES_MAX: usize = 4 << 20;
/// How long a gossip message on a stream may take.
pub const GOSSIP_DEADLINE: Duration = Duration::from_secs(1);

// The directory.

/// Changes that the owner's ring keeps. A peer that is further behind gets a snapshot.
pub const CHANGE_RING_MAX: usize = 65_536;
/// Changes in one delta.
pub const DELTA_CHANGES_MAX: usize = 64;
/// Entries in one chunk of a snapshot: 33 KiB.
pub const SNAPSHOT_CHUNK_ENTRIES: usize = 1_024;
/// Shards of the view, a power of two. Source: far more than cores, so that readers rarely meet the
/// writer, and at ten million sessions a shard still grows within a millisecond or two.
pub const VIEW_SHARDS: usize = 256;
/// Changes of what is visible that wait for one listener: with 128 bytes each 2 MiB, which exist while somebody listens.
/// Arithmetic: at 10,000 changes a second it may be away for more than a second, which is what reading ten million
/// sessions takes.
pub const DIFFS_MAX: usize = 16_384;
/// Copies of sections, those included that are arriving or wait for being swept. Beyond it no
/// snapshot begins before the next sweep.
pub const SLOTS_MAX: usize = 16 * PEERS_MAX;
/// Changes that a copy of another node's section remembers, to serve peers that do not reach its
/// owner. Guess: three seconds of a busy node; a peer that is further behind gets a snapshot.
pub const RELAY_CHANGES_MAX: usize = 1_024;
/// Sessions in the section of one node. Source: more than a whole cluster is made for.
pub const SECTION_ENTRIES_MAX: u64 = 1 << 24;
/// A snapshot that does not move for so long is given up by either end, and begins anew. Guess: longer than the taker
/// waits for a place.
pub const SNAPSHOT_STALL_MAX: Duration = Duration::from_secs(60);
/// First pause before a failed subscription is repeated; doubles up to [`SUBSCRIBE_AGAIN_MAX`].
pub const SUBSCRIBE_AGAIN_MIN: Duration = Duration::from_millis(100);
/// Longest pause before a failed subscription is repeated.
pub const SUBSCRIBE_AGAIN_MAX: Duration = Duration::from_secs(5);
/// Snapshots that a node sends at the same time, and as many that it receives. Source: design.
pub const SNAPSHOTS_MAX: usize = 4;
/// Bytes of one snapshot in a second. Arithmetic: four at once fill a gigabit link.
pub const SNAPSHOT_BYTES_PER_SECOND: usize = 32 << 20;
/// Time between two exchanges of digests with a random peer. Source: design.
pub const DIGEST_INTERVAL: Duration = Duration::from_secs(2);
/// Lower bound of the time over which changes are gathered under churn.
pub const COALESCE_MIN: Duration = Duration::from_millis(20);
/// Upper bound of the same.
pub const COALESCE_MAX: Duration = Duration::from_millis(200);
/// Grows the gathering time with the cluster: this much for each member.
pub const COALESCE_PER_MEMBER: Duration = Duration::from_micros(500);

// Membership.

/// Time between two gossip rounds.
pub const GOSSIP_INTERVAL: Duration = Duration::from_millis(500);
/// Threshold of chitchat's phi-accrual failure detector. Source: design; to be confirmed by simulation.
pub const PHI_THRESHOLD: f64 = 20.0;
/// How often the liveness overlay is evaluated.
pub const OVERLAY_TICK: Duration = Duration::from_millis(200);
/// How long a silence that made a member suspect has to go on before it can be dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(3);
/// How long a member has to be suspect before it can be dead, however long its silence was by then:
/// a node that was stopped itself listens first. Source: a dial of that time is its last chance.
pub const SUSPICION_MIN: Duration = DIAL_TIMEOUT;
/// Most peers turning suspect within this time are one failure, of this node. Source: design; the
/// last packets of links differ by one keep-alive, and the ticks that notice it by one tick.
pub const SELF_DOUBT_WINDOW: Duration = Duration::from_secs(2);
/// Peers that have to turn suspect together before a node doubts itself. Source: one peer and this
/// node cannot tell which of them is the sick one.
pub const SELF_DOUBT_PEERS_MIN: usize = 2;
/// How many times as long [`DEAD_AFTER`] is for a node that doubts itself. Source: design.
pub const SELF_DOUBT_STRETCH: u32 = 3;
/// The claims of a member that was hidden and returns are believed after this, even if its section has not
/// arrived. Source: a section that does not come directly comes through a relay, which takes as long.
pub const RETURN_BELIEVED_AFTER: Duration = RELAY_AFTER;
/// A member that was not alive for longer is stale: its section comes through a relay. Source: design.
pub const RELAY_AFTER: Duration = Duration::from_secs(3);
/// Alive members that are candidates for the one hop of a relay. Source: one, and one in reserve.
pub const RELAYS_MAX: usize = 2;
/// How long a fence is kept. Source: design; far longer than chitchat repeats a former incarnation.
pub const FENCE_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the section of a dead member is kept.
pub const PURGE_AFTER: Duration = Duration::from_secs(600);
/// How long a node that starts asks its peers for the incarnation they know of it.
pub const INCARNATION_PROBE: Duration = Duration::from_secs(1);
/// How long a node waits for its peers and for their sections before it is ready without them, default of
/// `--join-timeout`. Source: several times what it takes until the name of a new pod resolves.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
/// The shortest `--join-timeout`. Source: the first round of dials takes some round trips.
pub const JOIN_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// How long a node that may be alone waits for its peers. Source: longer than a dial.
pub const JOIN_ALONE_AFTER: Duration = Duration::from_secs(3);
/// Time between two look-ups of the names of peers while this node hears nobody. Source: a client's patience.
pub const LOOKUP_ALONE_EVERY: Duration = Duration::from_secs(1);
/// The same while it joins, or a member is not alive: that one may come back with another address. Guess.
pub const LOOKUP_MISSING_EVERY: Duration = Duration::from_secs(5);
/// The same while all is well: two clusters behind one name, which never met, find each other. Guess.
pub const LOOKUP_WELL_EVERY: Duration = Duration::from_secs(30);
/// When a look-up that does not end is given up, so that the next one can begin. Source: above what the
/// C library takes with three servers that are silent; until then the name is not asked for again.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);

// Life cycle.

/// How often the files of keys and certificates are looked at. Guess: a key that was replaced is in effect some seconds later, and to read
/// some small files so often costs nothing.
pub const RELOAD_LOOK: Duration = Duration::from_secs(2);

/// How long a node that is asked to stop serves on first, default of `--drain-delay`. Source: without a balancer nobody has to notice.
pub const DRAIN_DELAY: Duration = Duration::ZERO;
/// The longest `--drain-delay`. Guess: far above what any balancer takes to notice; a stop that takes longer is a mistake.
pub const DRAIN_DELAY_MAX: Duration = Duration::from_secs(60 * 60);
/// Bound of a graceful stop, default of `--drain-timeout`.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest `--drain-timeout`. Guess: closing handshakes need some round trips.
pub const DRAIN_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// The longest of all timers that somebody may set: a year. Guess: anything above is a mistake, and far
/// below it moments overflow.
pub const TIMER_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Bound of the stop of a node that cannot go on. Source: clients learn of it within a round trip, and
/// what is wrong must not last.
pub const FAULT_DRAIN: Duration = Duration::from_secs(1);
/// A node whose watch over the members has not run for this long is not alive. Source: 25 of its rounds;
/// shorter than what its peers wait before they count it as dead.
pub const WATCH_SILENCE_MAX: Duration = Duration::from_secs(5);
/// Bytes of lines that wait for stderr, and as many that are being written. Guess: a second of a busy
/// node at debug level.
pub const LOG_BYTES_MAX: usize = 4 << 20;
/// How long a process that ends waits for the last lines of its log. Guess: far above what a disk takes,
/// and nobody notices it where nobody reads the log.
pub const LOG_FLUSH_TIMEOUT: Duration = Duration::from_millis(300);
/// Bounds of the pause that a client is told to make before it reconnects, in milliseconds.
pub const RETRY_MS: (u64, u64) = (100, 3_000);

const _: () = {
    assert!(PAYLOAD_BYTES_MAX <= PAYLOAD_BYTES_CEILING);
    assert!(OUTBOX_BYTES_MAX >= PAYLOAD_BYTES_MAX);
    assert!(SESSIONS_PER_USER_MAX <= SESSIONS_PER_USER_CEILING);
    assert!(SESSIONS_PER_USER_CEILING * 9 < FRAME_HEADER_BYTES_MAX);
    assert!((SESSIONS_PAGE_MAX + 1) * 24 < FRAME_HEADER_BYTES_MAX);
    assert!(SNAPSHOT_CHUNK_ENTRIES * 40 < FRAME_HEADER_BYTES_MAX);
    assert!(PEERS_MAX * (NODE_NAME_BYTES_MAX + 32) < FRAME_HEADER_BYTES_MAX);
    assert!(LANE_BYTES_MAX >= FRAME_PAYLOAD_BYTES_MAX);
    assert!(FANOUT_BYTES_MAX >= FRAME_PAYLOAD_BYTES_MAX && FANOUT_BYTES_MAX <= u32::MAX as usize);
    assert!(URL_BYTES_MAX + HEADER_BYTES_MAX < HTTP_BUFFER_BYTES);
    assert!(BUFFERED_AFTER.as_millis() < PUSH_TIMEOUT.as_millis());
    assert!(HEARTBEAT_INTERVAL.as_millis() * 2 < HEARTBEAT_TIMEOUT.as_millis());
    assert!(LINK_KEEP_ALIVE.as_millis() * 3 <= LINK_IDLE_SUSPECT.as_millis());
    assert!(LINK_IDLE_SUSPECT.as_millis() < LINK_IDLE_TIMEOUT.as_millis());
    assert!(LINK_IDLE_SUSPECT.as_millis() + DEAD_AFTER.as_millis() < 10_000);
    assert!(DIAL_TIMEOUT.as_millis() < DEAD_AFTER.as_millis());
    assert!(DIAL_TIMEOUT.as_millis() < JOIN_ALONE_AFTER.as_millis());
    assert!(JOIN_TIMEOUT_MIN.as_millis() <= JOIN_TIMEOUT.as_millis());
    assert!(SUSPICION_MIN.as_millis() + 2 * OVERLAY_TICK.as_millis() < DEAD_AFTER.as_millis());
    assert!(LINK_KEEP_ALIVE.as_millis() + 2 * OVERLAY_TICK.as_millis() < SELF_DOUBT_WINDOW.as_millis());
    assert!(OVERLAY_TICK.as_millis() * 10 < WATCH_SILENCE_MAX.as_millis());
    assert!(WATCH_SILENCE_MAX.as_millis() < LINK_IDLE_SUSPECT.as_millis() + DEAD_AFTER.as_millis());
    assert!(FAULT_DRAIN.as_millis() <= DRAIN_TIMEOUT_MIN.as_millis());
    assert!(FENCE_KEPT.as_millis() > PURGE_AFTER.as_millis());
    assert!(DELTA_CHANGES_MAX <= CHANGE_RING_MAX);
    assert!(VIEW_SHARDS.is_power_of_two());
    assert!(RELEASE_LINGER.as_millis() >= 5 * COALESCE_MAX.as_millis());
    assert!(GOSSIP_INTERVAL.as_millis() * 2 <= DEAD_AFTER.as_millis());
};
