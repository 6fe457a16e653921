//! The ports for HTTP of a node: one for everybody, unless backends and operators have one of their own.

use std::io;
use std::net::SocketAddr;
use std::slice;
use std::sync::Arc;

use axum::serve::Listener;
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::gateway::{self, Certificate, Front, Proxied, Shares, Surface, Terms};
use crate::limits;
use crate::node::shared::http_stop_timeout;
use crate::vital::Vitals;
use crate::wire::Threads;

/// What accepts at each of them.
pub(super) struct Faces<L> {
    pub(super) clients: Vec<L>,
    pub(super) api: Vec<L>,
    pub(super) admin: Vec<L>,
}

impl<L: Listener<Addr = SocketAddr>> Faces<L> {
    /// Where backends and operators are, if they have a port of their own.
    pub(super) fn apart(&self) -> io::Result<[Option<SocketAddr>; 2]> {
        let addr = |at: &[L]| at.first().map(Listener::local_addr).transpose();
        Ok([addr(&self.api)?, addr(&self.admin)?])
    }

    /// Answers requests until the stop, on these threads.
    pub(super) fn serve(
        self,
        terms: Terms,
        front: &Arc<Front>,
        threads: &Threads,
        stop: &CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<L> {
        let Self { clients, api, admin } = self;
        let surface = Surface::Clients { api_apart: !api.is_empty(), admin_apart: !admin.is_empty() };
        let calls = Terms {
            proxied: Proxied::default(),
            shares: Shares::of_calls(limits::API_REQUESTS_MAX),
            ..terms.clone()
        };
        let tools = Terms { tls: None, shares: Shares::of_calls(ADMIN_CONNECTIONS), ..calls.clone() };
        let on = |at: Vec<L>, threads: &[Handle]| at.into_iter().zip(threads.iter().cloned()).collect();
        let faces = [
            (surface, on(clients, threads.push()), terms),
            (Surface::Api, on(api, threads.push()), calls),
            (Surface::Admin, on(admin, slice::from_ref(threads.control())), tools),
        ];
        let served = faces.map(|(surface, listeners, terms)| {
            let front = Arc::clone(front);
            let answer = move |request| Arc::clone(&front).answer(request, surface);
            gateway::serve(listeners, terms, answer, stop.clone())
        });
        async {
            join_all(served).await;
        }
    }
}

/// How connections of clients are served.
pub(super) fn terms(
    config: &Config,
    certificate: Option<&Arc<Certificate>>,
    shares: Shares,
    vitals: &Vitals,
) -> Terms {
    Terms {
        tls: certificate.map(|certificate| gateway::server_config(certificate, config.tls_min)),
        proxied: Proxied(if config.proxy_protocol { config.trusted_proxies.clone() } else { Vec::new() }),
        shares,
        vitals: vitals.clone(),
        keep_alive: config.timers.keep_alive,
        stop_timeout: http_stop_timeout(config),
    }
}

/// Connections at the port for operators; some more get one request each. Guess: a few scrapers and people.
const ADMIN_CONNECTIONS: usize = 64;
