//! A node that dies without a word and comes back is noticed by its peers at once.

use tokio::runtime::{Builder, Runtime};

use super::*;

/// Stands for a process: its tasks end at once and without a last packet when it is shut down.
struct Process {
    runtime: Runtime,
    endpoint: Endpoint,
}

impl Process {
    fn start(addr: SocketAddr, identity: &Identity) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let endpoint = runtime.block_on(async { endpoint_at(addr, identity) });
        Self { runtime, endpoint }
    }

    fn addr(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    /// Ends what runs, and frees the port.
    fn kill(self) {
        self.runtime.shutdown_timeout(Duration::from_secs(10));
    }
}

/// Links two processes; the dialing side's end comes first.
fn link_processes(dialing: &Process, identity: &Identity, accepting: &Process) -> (Connection, Connection) {
    let endpoint = accepting.endpoint.clone();
    let accepted = accepting.runtime.spawn(async move { accept(&endpoint).await.unwrap() });
    dialing.runtime.block_on(async {
        let config = identity.client_config(MeshVersion::V5, [7; 32]);
        let dial = dialing.endpoint.connect_with(config, accepting.addr(), SERVER_NAME).unwrap();
        let (dialed, accepted) = within(async { tokio::join!(dial, accepted) }).await;
        let (dialed, accepted) = (dialed.unwrap(), accepted.unwrap());
        round_trip(&dialed, &accepted).await.unwrap();
        (dialed, accepted)
    })
}

#[test]
fn a_restarted_node_resets_the_links_that_it_dialed_and_that_it_accepted() {
    let n1 = identity("shop", "n1", KEY);
    for n2_dials in [false, true] {
        let n2 = identity("shop", "n2", KEY);
        let (lives, dies) = (Process::start(loopback(), &n1), Process::start(loopback(), &n2));
        let (ours, theirs) = if n2_dials {
            let (theirs, ours) = link_processes(&dies, &n2, &lives);
            (ours, theirs)
        } else {
            link_processes(&lives, &n1, &dies)
        };
        let addr = dies.addr();
        dies.kill();
        drop(theirs);

        let reborn = Process::start(addr, &identity("shop", "n2", KEY));
        let end = lives.runtime.block_on(async {
            // Any packet will do: one that was on its way may have ended the link already.
            ours.send_datagram(vec![0; 100].into()).ok();
            within(ours.closed()).await
        });
        assert_eq!(end, ConnectionError::Reset, "n2 dials: {n2_dials}");
        drop(ours);
        reborn.kill();
        lives.kill();
    }
}

#[test]
fn only_a_node_itself_can_reset_its_links() {
    let reset_key = |identity: Identity| identity.root.derive(PURPOSE_RESET, &[]);
    let own = reset_key(identity("shop", "n2", KEY));
    assert_eq!(reset_key(identity("shop", "n2", KEY)), own, "a restart keeps the key");
    assert_ne!(reset_key(identity("shop", "n3", KEY)), own);
    assert_ne!(reset_key(identity("bank", "n2", KEY)), own);
    assert_ne!(reset_key(identity("shop", "n2", OTHER_KEY)), own);

    let (ca, cert, key) = files::Operator::new().files("shop", "n2");
    let from_files = || files::from_files("n2", &ca, &cert, &key).unwrap();
    assert_eq!(reset_key(from_files()), reset_key(from_files()), "a restart keeps the key");
    assert_ne!(reset_key(files::Operator::new().node("shop", "n2")), reset_key(from_files()));
}
