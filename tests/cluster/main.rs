//! The product as its users meet it: real `pushmesh` processes, real sockets, loopback.
//!
//! Every test starts its own nodes, under a cluster name of its own and with ports that the kernel
//! chooses, and speaks to them over HTTP and WebSockets only. Nothing of the crate is used, so that
//! what is tested is docs/PROTOCOL.md and not the code's opinion of it. All waiting is for a
//! condition with a deadline; see [`harness::eventually`]. One binary, because linking is most of
//! its cost.

mod harness;

mod access;
mod attributes;
mod closes;
mod commands;
mod copies;
mod counts;
mod crash;
mod descriptors;
mod doubt;
mod drain;
mod edge;
mod envelopes;
mod errors;
mod explain;
mod flood;
mod heads;
mod heartbeat;
mod identity;
mod isolation;
mod joining;
mod keep;
mod logins;
mod logs;
mod lookups;
mod mesh;
mod policies;
mod ports;
mod presence;
mod proxies;
mod push;
mod rates;
mod refusals;
mod relay;
mod reload;
mod resume;
mod rotation;
mod settings;
mod slow;
mod stored;
mod storm;
mod stream;
mod takeover;
mod tls;
mod upgrade;
