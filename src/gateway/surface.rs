//! Which routes a port serves.
//!
//! A node has one port for all of them, unless backends or operators get one of their own: then their routes are there and
//! nowhere else. Probes are everywhere, because a balancer asks the port that it sends clients to.

use crate::gateway::error::ApiError;

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    /// Clients, and whoever has no port of their own.
    Clients {
        /// Whether backends have one.
        api_apart: bool,
        /// Whether operators have one.
        admin_apart: bool,
    },
    /// Backends.
    Api,
    /// Operators and their tools.
    Admin,
}

impl Surface {
    /// Refuses a route that this port does not serve.
    ///
    /// # Errors
    /// 404, which says where it is served.
    pub(super) fn check(self, path: &str) -> Result<(), ApiError> {
        let api = path.starts_with("/v1/") && path != CONNECT;
        let admin = matches!(path, "/metrics" | "/openapi.json");
        let flag = match self {
            Surface::Clients { api_apart: true, .. } if api => "--api-listen",
            Surface::Clients { admin_apart: true, .. } if admin => "--admin-listen",
            Surface::Api if path == CONNECT => "--listen",
            Surface::Api if path == "/metrics" => "--admin-listen",
            Surface::Admin if path == CONNECT => "--listen",
            Surface::Admin if api => "--api-listen, or of --listen where there is no such flag",
            _ => return Ok(()),
        };
        Err(ApiError::elsewhere(flag))
    }
}

/// Where clients connect.
const CONNECT: &str = "/v1/ws";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_is_on_its_port_and_probes_are_on_all() {
        let clients = |api_apart, admin_apart| Surface::Clients { api_apart, admin_apart };
        let served = |surface: Surface| {
            let all = ["/v1/ws", "/v1/push", "/v1/nodes", "/metrics", "/openapi.json", "/livez", "/readyz"];
            all.into_iter().filter(|path| surface.check(path).is_ok()).collect::<Vec<_>>().join(" ")
        };
        let all = "/v1/ws /v1/push /v1/nodes /metrics /openapi.json /livez /readyz";
        assert_eq!(served(clients(false, false)), all);
        assert_eq!(served(clients(true, false)), "/v1/ws /metrics /openapi.json /livez /readyz");
        assert_eq!(served(clients(false, true)), "/v1/ws /v1/push /v1/nodes /livez /readyz");
        assert_eq!(served(clients(true, true)), "/v1/ws /livez /readyz");
        assert_eq!(served(Surface::Api), "/v1/push /v1/nodes /openapi.json /livez /readyz");
        assert_eq!(served(Surface::Admin), "/metrics /openapi.json /livez /readyz");
        assert!(clients(true, true).check("/nowhere").is_ok(), "that is for the routes to say");
    }
}
