//! The numbers that a node keeps about itself, as `GET /metrics` shows them.
//!
//! Each node has a recorder of its own, so that several nodes in one process (the demo, a test, a
//! simulation) do not add up in one global. Every metric is registered here once, with its help
//! text, in the table below, and is a handle afterwards: counting is one atomic addition. Names are
//! `pushmesh_<noun>_<unit>[_total]`; a [`label`] is a type with all its values.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::push::{Outcome, Tally};

pub(crate) mod label;
mod process;

use label::{
    ClientError, Closed, Credential, Direction, Dropped, Fetched, HandedOver, Label, Lookup, Member,
    NotAccepted, Offence, Origin, PulledFrom, Pushed, Refusal, Refused, RelayStep, Reloaded, ResumedAs,
    Spans, StatusClass, Task, Writer,
};

/// Writes the struct of all metrics and its constructor from one table, so that a metric's name,
/// labels, help text and field cannot drift apart.
macro_rules! metrics {
    ($($field:ident: $kind:ident($name:literal $(, $label:literal, $values:ident)?), $help:literal;)*) => {
        /// All metrics of a node.
        pub(crate) struct Metrics {
            handle: PrometheusHandle,
            push_seconds: Histogram,
            push_samples: AtomicU64,
            shows_process: bool,
            $(#[doc = $help] pub(crate) $field: metrics!(@type $kind $($values)?),)*
        }

        impl Metrics {
            /// All metrics at zero.
            pub(crate) fn new() -> Self {
                let recorder = PrometheusBuilder::new()
                    .set_buckets(&PUSH_SECONDS_BUCKETS)
                    .expect("the list of buckets is not empty")
                    .build_recorder();
                let registrar = Registrar(&recorder);
                Self {
                    handle: recorder.handle(),
                    push_seconds: registrar.histogram(
                        "pushmesh_push_seconds",
                        "Time from a push's arrival at this node's API to its answer.",
                    ),
                    push_samples: AtomicU64::new(0),
                    shows_process: false,
                    $($field: registrar.$kind($name, $help $(, $label, PhantomData::<$values>)?),)*
                }
            }
        }
    };
    (@type counter) => { Counter };
    (@type counters $values:ident) => { Counters<$values> };
    (@type gauge) => { Gauge };
    (@type gauges $values:ident) => { Gauges<$values> };
}

metrics! {
    pushes: counters("pushmesh_pushes_total", "outcome", Pushed),
        "Outcomes of pushes that entered at this node, one for each session of the target. A user without session counts once, and so does a node that did not answer a broadcast.";
    broadcasts: counter("pushmesh_broadcasts_total"),
        "Broadcasts that this node's API answered.";

    ready: gauge("pushmesh_ready"),
        "1 while /readyz says 200.";
    connections_max: gauge("pushmesh_connections_max"),
        "WebSocket connections that this node takes at most: --max-connections, or what the limit of open files allows.";
    kept_bytes_max: gauge("pushmesh_kept_bytes_max"),
        "Bytes that this node holds at most for its kept sessions, and as many again for other nodes: --kept-bytes-total.";
    tls_failed: counter("pushmesh_tls_handshakes_failed_total"),
        "TLS handshakes of clients and backends that failed, or took too long.";
    proxy_headers_refused: counter("pushmesh_proxy_headers_refused_total"),
        "Connections of trusted proxies that did not begin with a good header of the PROXY protocol.";
    connections: gauge("pushmesh_connections"),
        "WebSocket connections open at this node.";
    sessions_owned: gauge("pushmesh_sessions_owned"),
        "Sessions that this node claims in the directory.";
    connections_opened: counter("pushmesh_connections_opened_total"),
        "WebSocket connections that became a session.";
    connections_closed: counters("pushmesh_connections_closed_total", "reason", Closed),
        "Sessions that ended, by reason.";
    connections_refused: counters("pushmesh_connections_refused_total", "reason", Refused),
        "WebSocket connections that were refused, by the code of the answer.";
    messages_written: counters("pushmesh_messages_written_total", "how", Writer),
        "Messages written to clients: at once where they arrived, begun there and finished by the session's task, or by that task alone.";
    client_messages: counter("pushmesh_client_messages_total"),
        "Messages received from clients.";
    client_acks: counter("pushmesh_client_acks_total"),
        "Acknowledgements received from clients of the pushmesh.v1 subprotocol.";
    client_errors: counters("pushmesh_client_errors_total", "code", ClientError),
        "What clients sent that the protocol does not allow, by code.";

    api_requests: counters("pushmesh_api_requests_total", "status", StatusClass),
        "HTTP requests answered, WebSocket upgrades among them, by class of status.";
    lines_refused: counter("pushmesh_lines_refused_total"),
        "Lines of requests of many pushes that were refused before anything was sent.";
    accepts_failed: counters("pushmesh_accepts_failed_total", "reason", NotAccepted),
        "TCP connections that found no place: the node answered one request and closed them, or the operating system refused to accept them.";
    reloads: counters("pushmesh_reloads_total", "result", Reloaded),
        "Times that keys, origins and the certificate were read again, by whether the new ones are in effect.";
    trace_spans: counters("pushmesh_trace_spans_total", "step", Spans),
        "Spans of pushes that have ended, and of those the ones that the collector at --otlp-endpoint took or did not take. Those that are missing wait, or found no room.";
    jwks_fetches: counters("pushmesh_jwks_fetches_total", "result", Fetched),
        "Times that the keys of the identity provider were asked for at --jwks-url, by whether they came.";
    jwks_keys: gauge("pushmesh_jwks_keys"),
        "Keys of the identity provider at --jwks-url that this node knows.";
    auth_failures: counters("pushmesh_auth_failures_total", "kind", Credential),
        "Requests with missing or wrong credentials, by what was wrong.";

    takeovers: counter("pushmesh_takeovers_total"),
        "Earlier sessions that a session opened at this node replaced, by its key or by the takeover policy.";
    takeover_timeouts: counter("pushmesh_takeover_timeouts_total"),
        "Takeovers whose previous owner did not let go in time.";

    parked: gauge("pushmesh_sessions_parked"),
        "Sessions of this node whose client is away and that are kept for it.";
    kept_bytes: gauges("pushmesh_kept_bytes", "origin", Origin),
        "Bytes of messages that this node holds for clients that have not acknowledged them, by where they were accepted: here, or at an earlier owner of the session.";
    kept_dropped: counters("pushmesh_kept_dropped_total", "reason", Dropped),
        "Messages that were held for a client, which had not acknowledged them, and are not any more, by reason.";
    copies_held: gauge("pushmesh_copies_held"),
        "Messages that this node holds for other nodes, which have accepted them for clients that have not acknowledged them.";
    copies_held_bytes: gauge("pushmesh_copies_held_bytes"),
        "Bytes of the payloads of those messages.";
    copies_groups_short: gauge("pushmesh_copies_groups_short"),
        "Groups of this node's sessions, of 16, that fewer other nodes hold copies for than --copies says, or than there are.";
    copies_orphaned: counter("pushmesh_copies_orphaned_total"),
        "Times that all nodes that held copies for a group of this node had restarted, so that others hold them now.";
    copies_kept_on: counter("pushmesh_copies_kept_on_total"),
        "Sessions of clients that are away which this node keeps on, because their owners are gone.";
    copies_refused: counter("pushmesh_copies_refused_total"),
        "Times that this node had no room for what another node wanted it to hold.";
    handovers: counters("pushmesh_handovers_total", "result", HandedOver),
        "Sessions whose messages this node was to hand over to their next owner, by what became of that.";
    resumptions: counters("pushmesh_resumptions_total", "result", ResumedAs),
        "Sessions opened with ?keep=, by what their client was told about its earlier messages.";

    mesh_links: gauge("pushmesh_mesh_links"),
        "Links to peers that are in use.";
    mesh_dials_failed: counter("pushmesh_mesh_dials_failed_total"),
        "Dials to peers that failed.";
    mesh_handshakes: gauge("pushmesh_mesh_handshakes"),
        "Handshakes under way that peers began.";
    mesh_handshakes_refused: counters("pushmesh_mesh_handshakes_refused_total", "reason", Refusal),
        "Mesh connections that this node or the peer refused, by reason. Normal ends, such as that of one of two crossing dials, are not counted.";
    mesh_retries: counter("pushmesh_mesh_retries_total"),
        "QUIC Retry packets sent, in answer to first packets of unverified addresses, while many handshakes were under way.";
    mesh_frames_refused: counters("pushmesh_mesh_frames_refused_total", "kind", Offence),
        "Breaches of the mesh protocol by peers, by kind. Each closed its link.";
    mesh_requests: counters("pushmesh_mesh_requests_total", "direction", Direction),
        "Requests between nodes: pushes, disconnects, yields and questions for names.";
    mesh_relayed: counters("pushmesh_mesh_relayed_total", "step", RelayStep),
        "Requests relayed over a third node: sent by this node, passed on, or refused because the link to the target was missing or full.";
    mesh_overloaded: counter("pushmesh_mesh_overloaded_total"),
        "Requests to peers refused because a queue of the link was full.";

    peer_lookups: counters("pushmesh_peer_lookups_total", "result", Lookup),
        "Look-ups of the names of peers, by whether addresses were found.";
    gossip_refused: counter("pushmesh_gossip_refused_total"),
        "Gossip messages dropped: malformed, too long, or more than fit.";
    members: gauges("pushmesh_members", "state", Member),
        "Members known to this node, itself included, by state.";

    members_forgotten: counter("pushmesh_members_forgotten_total"),
        "Dead members that this node was told to forget.";
    degraded: gauge("pushmesh_degraded"),
        "1 while this node doubts itself, because most of its peers fell silent at once.";
    isolated: gauge("pushmesh_isolated"),
        "1 while this node knows at least two others and hears none.";

    directory_deltas: counters("pushmesh_directory_deltas_total", "direction", Direction),
        "Directory deltas exchanged with peers.";
    directory_snapshots: counters("pushmesh_directory_snapshots_total", "direction", Direction),
        "Directory snapshots exchanged with peers.";
    directory_outdated: counter("pushmesh_directory_snapshots_outdated_total"),
        "Snapshots that were dropped, because the copy had caught up before they were complete.";
    directory_diverged: counter("pushmesh_directory_diverged_total"),
        "Copies of sections whose hash differed at the same version, replaced by a snapshot.";
    directory_accusations_ignored: counter("pushmesh_directory_accusations_ignored_total"),
        "Reports of peers that a copy at this node is wrong, ignored because the peer had sent too many.";
    directory_digests: counters("pushmesh_directory_digests_total", "direction", Direction),
        "Digests of all sections exchanged with peers, to find what is missing.";
    directory_pulls: counters("pushmesh_directory_pulls_total", "from", PulledFrom),
        "Sections fetched after a comparison of digests, from the owner or from a third node.";
    directory_refused: counter("pushmesh_directory_refused_total"),
        "Newer sections offered by a third node and refused, because their owner's boot is no member here.";
    directory_swept: counter("pushmesh_directory_swept_rows_total"),
        "Rows removed because their section was replaced or its owner is gone.";

    tasks_failed: counters("pushmesh_tasks_failed_total", "task", Task),
        "Tasks that panicked or ended early, by what they were for: a defect.";
    log_lines_dropped: counter("pushmesh_log_lines_dropped_total"),
        "Lines of the log, and of stdout, that this process could not write.";
}

impl Metrics {
    /// What became of a push at one of the sessions it was for.
    pub(crate) fn pushed(&self, outcome: &Outcome) {
        self.pushes.with(outcome.into()).increment(1);
    }

    /// What became of a broadcast at one node, `None` where the node did not answer.
    pub(crate) fn broadcast(&self, tally: Option<&Tally>) {
        let Some(tally) = tally else { return self.pushed(&Outcome::Unreachable) };
        let Tally { delivered, buffered, overloaded, interrupted, id_reused, acked, queued } = tally;
        self.pushes.with(Pushed::Delivered).increment(*delivered);
        self.pushes.with(Pushed::Buffered).increment(*buffered);
        self.pushes.with(Pushed::Overloaded).increment(*overloaded);
        self.pushes.with(Pushed::Interrupted).increment(*interrupted);
        self.pushes.with(Pushed::IdReused).increment(*id_reused);
        self.pushes.with(Pushed::Acked).increment(*acked);
        self.pushes.with(Pushed::Queued).increment(*queued);
    }

    /// A push of this node's API was answered after `elapsed`.
    pub(crate) fn answered(&self, elapsed: Duration) {
        self.push_seconds.record(elapsed.as_secs_f64());
        // The exporter keeps raw samples until they are folded into buckets, which otherwise
        // happens only when somebody reads the metrics.
        if self.push_samples.fetch_add(1, Ordering::Relaxed) % UPKEEP_SAMPLES == UPKEEP_SAMPLES - 1 {
            self.handle.run_upkeep();
        }
    }

    /// Shows also what the process takes from its machine, or not.
    pub(crate) fn with_process(self, shows_process: bool) -> Self {
        Self { shows_process, ..self }
    }

    /// All metrics in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        self.log_lines_dropped.absolute(LOG_LINES_DROPPED.load(Ordering::Relaxed));
        let mut text = self.handle.render() + &process::build();
        if self.shows_process {
            text += &process::usage();
        }
        text
    }
}

/// One counter for each value of a label.
pub(crate) struct Counters<L>(Vec<Counter>, PhantomData<L>);

impl<L: Label> Counters<L> {
    /// The counter of that value.
    pub(crate) fn with(&self, value: L) -> &Counter {
        &self.0[value.index()]
    }
}

/// One gauge for each value of a label.
pub(crate) struct Gauges<L>(Vec<Gauge>, PhantomData<L>);

impl<L: Label> Gauges<L> {
    /// Sets the gauge of each value to what `count` says of it.
    pub(crate) fn set_each(&self, count: impl Fn(L) -> usize) {
        for (gauge, value) in self.0.iter().zip(L::ALL) {
            gauge.set(count(*value) as f64);
        }
    }
}

impl From<&Outcome> for Pushed {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Pushed::Delivered,
            Outcome::Buffered => Pushed::Buffered,
            // The router follows those that moved; one that it could not follow is gone.
            Outcome::NoSession | Outcome::Moved { .. } => Pushed::NoSession,
            Outcome::Overloaded => Pushed::Overloaded,
            Outcome::Interrupted => Pushed::Interrupted,
            Outcome::Unreachable => Pushed::Unreachable,
            Outcome::Unknown => Pushed::Unknown,
            Outcome::NotReady => Pushed::NotReady,
            Outcome::IdReused => Pushed::IdReused,
            Outcome::Acked => Pushed::Acked,
            Outcome::Queued => Pushed::Queued,
            Outcome::Copied { reached, .. } => reached.outcome().into(),
        }
    }
}

/// Registers metrics with their help texts.
struct Registrar<'a>(&'a PrometheusRecorder);

impl Registrar<'_> {
    fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.0.describe_counter(name.into(), None, help.into());
        self.0.register_counter(&Key::from_static_name(name), &METADATA)
    }

    fn counters<L: Label>(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: PhantomData<L>,
    ) -> Counters<L> {
        self.0.describe_counter(name.into(), None, help.into());
        let counter = |value: &L| self.0.register_counter(&labelled(name, label, value.as_str()), &METADATA);
        Counters(L::ALL.iter().map(counter).collect(), values)
    }

    fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.0.describe_gauge(name.into(), None, help.into());
        self.0.register_gauge(&Key::from_static_name(name), &METADATA)
    }

    fn gauges<L: Label>(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: PhantomData<L>,
    ) -> Gauges<L> {
        self.0.describe_gauge(name.into(), None, help.into());
        let gauge = |value: &L| self.0.register_gauge(&labelled(name, label, value.as_str()), &METADATA);
        Gauges(L::ALL.iter().map(gauge).collect(), values)
    }

    fn histogram(&self, name: &'static str, help: &'static str) -> Histogram {
        self.0.describe_histogram(name.into(), None, help.into());
        self.0.register_histogram(&Key::from_static_name(name), &METADATA)
    }
}

/// Lines that this process could not write. The log is the process', and so is this count: every node in
/// it shows the same.
pub(crate) static LOG_LINES_DROPPED: AtomicU64 = AtomicU64::new(0);

fn labelled(name: &'static str, label: &'static str, value: &'static str) -> Key {
    Key::from_parts(name, vec![metrics::Label::from_static_parts(label, value)])
}

static METADATA: Metadata<'static> = Metadata::new("pushmesh", Level::INFO, None);

/// Upper bounds in seconds. Source: a push on loopback takes some 100 us, within a region about
/// 1 ms, across an ocean 100 ms, and none takes longer than the push timeout of 2 s.
const PUSH_SECONDS_BUCKETS: [f64; 13] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.5];

/// Samples of a histogram that may wait to be folded: 32 KiB of them.
const UPKEEP_SAMPLES: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_shown_with_its_help_from_the_start() {
        let text = Metrics::new().render();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
            assert!(text.contains(&format!("# HELP {base} ")), "{base} has no help text");
            let is_ours = name.starts_with("pushmesh_") || name.starts_with("process_");
            assert!(is_ours, "{name} has the prefix");
        }
        assert!(text.contains("pushmesh_pushes_total{outcome=\"delivered\"} 0"));
    }

    #[test]
    fn two_nodes_of_one_process_count_apart() {
        let [one, two] = [Metrics::new(), Metrics::new()];
        one.takeovers.increment(1);
        assert!(one.render().contains("pushmesh_takeovers_total 1"));
        assert!(two.render().contains("pushmesh_takeovers_total 0"));
    }

    #[test]
    fn each_value_of_a_label_has_a_series_of_its_own() {
        let metrics = Metrics::new();
        for task in Task::ALL {
            metrics.tasks_failed.with(*task).increment(1 + task.index() as u64);
        }
        let text = metrics.render();
        for task in Task::ALL {
            let series =
                format!("pushmesh_tasks_failed_total{{task=\"{}\"}} {}\n", task.as_str(), 1 + task.index());
            assert!(text.contains(&series), "{series} is not in {text}");
        }
    }

    #[test]
    fn a_broadcast_counts_each_session_and_each_silent_node() {
        let metrics = Metrics::new();
        metrics.broadcast(Some(&Tally { delivered: 3, interrupted: 1, ..Tally::default() }));
        metrics.broadcast(None);
        let text = metrics.render();
        assert!(text.contains("pushmesh_pushes_total{outcome=\"delivered\"} 3"));
        assert!(text.contains("pushmesh_pushes_total{outcome=\"interrupted\"} 1"));
        assert!(text.contains("pushmesh_pushes_total{outcome=\"unreachable\"} 1"));
    }

    #[test]
    fn pushes_fill_the_buckets_of_their_duration() {
        let metrics = Metrics::new();
        metrics.answered(Duration::from_micros(200));
        let text = metrics.render();
        assert!(text.contains("pushmesh_push_seconds_bucket{le=\"0.0001\"} 0"));
        assert!(text.contains("pushmesh_push_seconds_bucket{le=\"0.00025\"} 1"));
        assert!(text.contains("pushmesh_push_seconds_count 1"));
    }
}
