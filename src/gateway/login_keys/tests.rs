//! Keys that are fetched, over a provider that a test decides, in virtual time.

use async_trait::async_trait;
use axum::http::Uri;
use bytes::Bytes;
use tokio::time::{advance, sleep};

use super::*;

/// A provider: what it answers, and how often it was asked.
#[derive(Default)]
struct Provider {
    answer: Mutex<Option<&'static str>>,
    takes: Mutex<Duration>,
    asked: Mutex<u32>,
}

#[async_trait]
impl Fetcher for Provider {
    async fn fetch(&self, url: &Uri, ca_pem: Option<&str>, bytes_max: usize) -> io::Result<Bytes> {
        assert_eq!((url.path(), ca_pem, bytes_max), ("/keys", Some("pem"), limits::KEY_SET_BYTES_MAX));
        *self.asked.lock().unwrap() += 1;
        let takes = *self.takes.lock().unwrap();
        sleep(takes).await;
        self.answer.lock().unwrap().map(Bytes::from).ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }
}

struct Case {
    provider: Arc<Provider>,
    keys: Arc<LoginKeys>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

impl Case {
    fn new(answer: Option<&'static str>, takes: Duration) -> Self {
        let provider = Arc::new(Provider::default());
        let auth = AuthConfig {
            jwks_url: Some("https://id.example/keys".parse().unwrap()),
            jwks_ca_pem: Some("pem".to_owned()),
            ..AuthConfig::default()
        };
        let metrics = Arc::new(Metrics::new());
        let fetcher: Arc<dyn Fetcher> = provider.clone();
        let keys = LoginKeys::new(&auth, fetcher, Arc::clone(&metrics)).expect("there is a URL");
        let case = Self { provider, keys, metrics, stop: CancellationToken::new() };
        case.answers(answer, takes);
        tokio::spawn(Arc::clone(&case.keys).run(case.stop.clone()));
        case
    }

    fn answers(&self, answer: Option<&'static str>, takes: Duration) {
        *self.provider.answer.lock().unwrap() = answer;
        *self.provider.takes.lock().unwrap() = takes;
    }

    fn asked(&self) -> u32 {
        *self.provider.asked.lock().unwrap()
    }

    fn known(&self) -> usize {
        self.keys.keys().get().len()
    }

    /// How long a client waits, in tenths of a second.
    async fn waited(&self) -> u128 {
        let before = Instant::now();
        self.keys.renewed().await;
        before.elapsed().as_millis() / 100
    }
}

const ONE: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
const TWO: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
                              {"kty":"OKP","crv":"Ed25519","kid":"b","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_client_waits_for_the_first_fetch_and_for_one_that_its_unknown_key_causes() {
    let case = Case::new(Some(ONE), 100 * MS);
    assert_eq!(case.known(), 0);
    assert_eq!(case.waited().await, 1);
    assert_eq!((case.known(), case.asked()), (1, 1));

    case.answers(Some(TWO), 100 * MS);
    assert_eq!(case.waited().await, 0, "the last fetch is not so long ago");
    advance(Duration::from_secs(30)).await;
    assert_eq!(case.waited().await, 1);
    assert_eq!((case.known(), case.asked()), (2, 2));
    assert_eq!(case.waited().await, 0);
    assert!(case.metrics.render().contains("pushmesh_jwks_fetches_total{result=\"done\"} 2"));
    assert!(case.metrics.render().contains("pushmesh_jwks_keys 2"));
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_known_stay_whatever_the_provider_answers() {
    let case = Case::new(Some(ONE), MS);
    case.keys.renewed().await;
    for answer in [None, Some("{}"), Some("{\"keys\":[]}"), Some("<html>")] {
        case.answers(answer, MS);
        case.keys.fetch();
        sleep(10 * MS).await;
        assert_eq!(case.known(), 1, "{answer:?}");
    }
    let metrics = case.metrics.render();
    assert!(metrics.contains("pushmesh_jwks_fetches_total{result=\"failed\"} 4"), "{metrics}");
    assert_eq!(case.waited().await, 0, "the next fetch comes by itself");
    case.answers(Some(TWO), MS);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(case.known(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_answer_holds_a_client_up_for_two_seconds_and_a_fetch_for_five() {
    let case = Case::new(Some(ONE), Duration::from_secs(3_600));
    assert_eq!(case.waited().await, 20);
    sleep(FETCH_MAX).await;
    let metrics = case.metrics.render();
    assert!(metrics.contains("pushmesh_jwks_fetches_total{result=\"failed\"} 1"), "{metrics}");
    assert_eq!(case.known(), 0);
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_again_every_ten_minutes_and_no_longer_once_the_node_stops() {
    let case = Case::new(Some(ONE), MS);
    sleep(Duration::from_secs(2 * 600 + 1)).await;
    assert_eq!(case.asked(), 3);
    case.stop.cancel();
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(case.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn no_more_clients_wait_than_there_are_places() {
    let case = Case::new(Some(ONE), 100 * MS);
    let _places = case.keys.waiting.try_acquire_many(WAITING_MAX as u32).unwrap();
    assert_eq!(case.waited().await, 0);
}
