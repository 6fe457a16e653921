//! The keys of an identity provider that publishes them at a URL: fetched in the background, and kept.
//!
//! A node does not wait for them when it starts. A client whose token names a key that is not known waits for a fetch that is under
//! way, or that its token may cause, for some moments. Whatever goes wrong, the keys that were fetched last stay good.
//!
//! When a fetch begins is decided in `schedule.rs`.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::{AuthConfig, JwksUrl};
use crate::current::Current;
use crate::limits;
use crate::metrics::Metrics;
use crate::metrics::label::Fetched;
use crate::token::KeySet;
use crate::wire::Fetcher;

mod schedule;
#[cfg(test)]
mod tests;

use schedule::Schedule;

/// The keys of an identity provider, as they were fetched last.
pub(crate) struct LoginKeys {
    url: JwksUrl,
    /// Whom to trust for https, where that is not whom the machine trusts.
    ca_pem: Option<String>,
    fetcher: Arc<dyn Fetcher>,
    keys: Arc<Current<KeySet>>,
    schedule: Mutex<Schedule>,
    /// The schedule has changed.
    wanted: Notify,
    /// Counts the fetches that have ended.
    ended: watch::Sender<u64>,
    /// A place for each client that may wait.
    waiting: Semaphore,
    metrics: Arc<Metrics>,
    started: Instant,
}

impl LoginKeys {
    /// Those of a configuration, if it has a URL. None is there yet.
    pub(crate) fn new(
        auth: &AuthConfig,
        fetcher: Arc<dyn Fetcher>,
        metrics: Arc<Metrics>,
    ) -> Option<Arc<Self>> {
        let url = auth.jwks_url.clone()?;
        Some(Arc::new(Self {
            url,
            ca_pem: auth.jwks_ca_pem.clone(),
            fetcher,
            keys: Arc::new(Current::new(KeySet::default())),
            schedule: Mutex::default(),
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
            waiting: Semaphore::new(WAITING_MAX),
            metrics,
            started: Instant::now(),
        }))
    }

    /// Those that were fetched last.
    pub(crate) fn keys(&self) -> &Arc<Current<KeySet>> {
        &self.keys
    }

    /// They are fetched again as soon as that can be.
    pub(crate) fn fetch(&self) {
        self.schedule().demand();
        self.wanted.notify_one();
    }

    /// A token names a key that is not known: waits for the end of a fetch if one is under way or begins now, for
    /// [`WAIT_MAX`] at the most. Look again then, whatever became of it.
    pub(crate) async fn renewed(&self) {
        // When so many wait the next one can come again.
        let Ok(_place) = self.waiting.try_acquire() else { return };
        let mut ended = self.ended.subscribe();
        if self.schedule().want(self.started.elapsed()) {
            self.wanted.notify_one();
            let _ = timeout(WAIT_MAX, ended.changed()).await;
        }
    }

    /// Fetches until the node stops.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let due = self.started + self.schedule().due();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wanted.notified() => {}
                () = sleep_until(due) => {
                    self.schedule().begin(self.started.elapsed());
                    let fetched = tokio::select! {
                        () = stop.cancelled() => return,
                        fetched = self.fetched() => fetched,
                    };
                    self.take(fetched);
                }
            }
        }
    }

    async fn fetched(&self) -> io::Result<KeySet> {
        let fetch = self.fetcher.fetch(self.url.uri(), self.ca_pem.as_deref(), limits::KEY_SET_BYTES_MAX);
        let late = |_| io::Error::other(format!("it did not come within {FETCH_MAX:?}"));
        let body = timeout(FETCH_MAX, fetch).await.map_err(late)??;
        KeySet::parse(&body).map_err(|error| io::Error::other(format!("the document {error}")))
    }

    fn take(&self, fetched: io::Result<KeySet>) {
        let url = &self.url;
        let changes = self.schedule().end(fetched.is_ok());
        let result = if fetched.is_ok() { Fetched::Done } else { Fetched::Failed };
        self.metrics.jwks_fetches.with(result).increment(1);
        match fetched {
            Ok(keys) => {
                if changes || keys.len() != self.keys.get().len() {
                    info!(%url, keys = keys.len(), "the keys of the identity provider are here");
                }
                keys.log_skipped();
                self.metrics.jwks_keys.set(keys.len() as f64);
                self.keys.replace(keys);
            }
            Err(error) if changes => {
                warn!(%url, %error, "the keys of the identity provider cannot be fetched: those that are known stay");
            }
            Err(error) => debug!(%url, %error, "the keys of the identity provider cannot be fetched"),
        }
        self.ended.send_modify(|ended| *ended += 1);
    }

    /// A panic elsewhere cannot have left it half changed.
    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a fetch may take. Guess: many round trips, and a name that is looked up twice.
const FETCH_MAX: Duration = Duration::from_secs(5);

/// How long a client may wait. Guess: what people put up with, and a fetch that works is shorter.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Clients that wait at a time; those beyond are refused at once. Guess: as many as may shake hands over TLS.
const WAITING_MAX: usize = limits::TLS_HANDSHAKES_MAX;
