//! The mesh address that peers are told: as it is configured, or what a name means when the node starts.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::config::{Advertised, Config};
use crate::node::start_error::StartError;
use crate::wire::Resolver;

/// The address that is told for a node whose mesh listens there.
///
/// # Errors
/// A name cannot be resolved, or means an address that the node must not have.
pub(super) async fn advertised(
    config: &Config,
    listening: SocketAddr,
    resolver: &dyn Resolver,
) -> Result<SocketAddr, StartError> {
    let name = match &config.mesh_advertise {
        None => return Ok(listening),
        Some(Advertised::Address(addr)) => return Ok(*addr),
        Some(Advertised::Name(name)) => name,
    };
    let until = Instant::now() + RESOLVED_WITHIN;
    let found = loop {
        let left = until.saturating_duration_since(Instant::now());
        let problem = match timeout(left, resolver.lookup(name)).await {
            Ok(Ok(found)) => match Advertised::choose(found) {
                Some(addr) => break addr,
                None => "it has no address".to_owned(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "there is no answer".to_owned(),
        };
        if Instant::now() + RESOLVED_AGAIN >= until {
            return Err(StartError::Advertised { name: name.clone(), problem });
        }
        sleep(RESOLVED_AGAIN).await;
    };
    // What is asked of an address is asked of this one too.
    Config { mesh_advertise: Some(found.into()), ..config.clone() }.check()?;
    Ok(found)
}

/// How long a node looks for its own address. Guess: machines and containers that have just started are often known by name some
/// seconds later.
const RESOLVED_WITHIN: Duration = Duration::from_secs(10);
/// The pause between two looks.
const RESOLVED_AGAIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::id::NodeName;

    /// Knows the name when it is asked for the last of so many times, and then by this address.
    struct Known {
        times: AtomicUsize,
        addr: SocketAddr,
    }

    #[async_trait]
    impl Resolver for Known {
        async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
            assert_eq!(name, "n1.example:7400");
            match self.times.fetch_sub(1, Ordering::Relaxed) {
                1 => Ok(vec![self.addr]),
                _ => Err(io::Error::other("not known")),
            }
        }
    }

    async fn told(times: usize, addr: &str, dev: bool) -> Result<SocketAddr, String> {
        let mut config = Config::dev(NodeName::new("n1").unwrap());
        config.mesh_advertise = Some("n1.example:7400".parse().unwrap());
        config.auth.dev = dev;
        config.auth.jwt_secrets =
            (!dev).then(|| crate::config::Secret::new("x".repeat(32))).into_iter().collect();
        let known = Known { times: AtomicUsize::new(times), addr: addr.parse().unwrap() };
        let listening = SocketAddr::from(([127, 0, 0, 1], 1));
        advertised(&config, listening, &known).await.map_err(|error| error.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_known_late_is_waited_for_and_one_that_is_not_is_an_error_of_the_start() {
        assert_eq!(told(1, "127.0.0.1:7400", true).await, Ok("127.0.0.1:7400".parse().unwrap()));
        assert_eq!(told(15, "127.0.0.1:7400", true).await, Ok("127.0.0.1:7400".parse().unwrap()));
        let refused = told(99, "127.0.0.1:7400", true).await.unwrap_err();
        assert!(refused.contains("n1.example:7400") && refused.contains("not known"), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_name_means_has_to_be_an_address_that_could_be_given() {
        let refused = told(1, "10.0.0.1:7400", true).await.unwrap_err();
        assert!(refused.contains("is not a loopback address"), "{refused}");
    }
}
