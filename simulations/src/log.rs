//! The log of the nodes: shown as `SIMULATIONS_LOG` says, and read for what they decide about sessions.
//!
//! All nodes of a run log in its one thread, so that the lines are in the order of what happened, and those of runs beside
//! each other do not mix.

use std::cell::RefCell;
use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use pushmesh::NodeName;

use crate::decision::{Decision, Fields};

thread_local! {
    static DECISIONS: RefCell<Vec<(NodeName, Decision)>> = const { RefCell::new(Vec::new()) };
}

/// From now on the log of this process is shown, and read.
pub(crate) fn watch() {
    let shown = fmt::layer().with_writer(std::io::stderr).without_time();
    let shown = shown.with_filter(EnvFilter::from_env("SIMULATIONS_LOG"));
    let read = Decisions
        .with_filter(Targets::new().with_targets(TARGETS.map(|target| (target, LevelFilter::DEBUG))));
    registry().with(shown).with(read).init();
}

/// What the nodes of this thread's run have decided since the last call.
pub(crate) fn take() -> Vec<(NodeName, Decision)> {
    DECISIONS.take()
}

struct Decisions;

impl<S: Subscriber> Layer<S> for Decisions {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let decision =
            fields.decision().unwrap_or_else(|| panic!("the log has a line of its own: {fields:?}"));
        DECISIONS.with_borrow_mut(|decisions| decisions.push(decision));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// The targets of the decisions, and of what is stored. Source: `src/router/decisions.rs`, `src/copies/own.rs`.
const TARGETS: [&str; 2] = ["pushmesh::ownership", "pushmesh::stored"];
