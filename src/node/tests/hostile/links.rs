//! Links and dials that a hostile member makes without end.

use super::*;

#[tokio::test]
async fn a_peer_that_dials_without_end_keeps_few_links() {
    let victim = victim(true);
    let identity = identity("evil");
    let endpoint = endpoint(&identity);
    let mut connections = Vec::new();
    for _ in 0..30 {
        connections.push(Member::greet(&victim, "evil", &identity, &endpoint).await);
    }
    let few = async {
        loop {
            let open = connections.iter().filter(|connection| connection.close_reason().is_none()).count();
            if open <= limits::LINKS_RETIRED_MAX + 1 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    // Sooner than the time for which one that was replaced is kept.
    timeout(limits::LINK_RETIRE - Duration::from_secs(1), few).await.expect("the oldest are closed");
    assert!(connections.last().is_some_and(|last| last.close_reason().is_none()));
}

#[tokio::test]
async fn dials_that_cross_or_end_are_no_refusals_and_what_is_wrong_is_counted_by_its_reason() {
    let victim = victim(true);
    let counted = |reason: &str| {
        let sample = format!("pushmesh_mesh_handshakes_refused_total{{reason=\"{reason}\"}} ");
        let text = victim.metrics.render();
        let count =
            text.lines().find_map(|line| line.strip_prefix(&sample)).unwrap_or_else(|| panic!("{text}"));
        count.parse::<u64>().unwrap()
    };
    let none_under_way = async || {
        let done = async {
            while victim.links.handshakes() > 0 {
                tokio::task::yield_now().await;
            }
        };
        within("the end of all handshakes", done).await;
    };
    let identity = identity("evil");
    let endpoint = endpoint(&identity);
    for code in
        [CloseCode::Duplicate, CloseCode::Ended, CloseCode::Left, CloseCode::Probed, CloseCode::Disagreed]
    {
        let (connection, _) = endpoint::dial(&endpoint, &identity, victim.addr).await.unwrap();
        code.close(&connection);
    }
    none_under_way().await;
    let all = ["identity", "version", "takeover", "hash_key", "stale", "flood", "unfinished", "protocol"];
    assert_eq!(all.map(counted), [0; 8]);
    // One that says nothing, one that says something else, and one with other settings.
    let silent = endpoint::dial(&endpoint, &identity, victim.addr).await.unwrap();
    let (other, _) = endpoint::dial(&endpoint, &identity, victim.addr).await.unwrap();
    let (mut stream, _answer) = other.open_bi().await.unwrap();
    stream.write_all(&DIGESTS.preface(VERSION)).await.unwrap();
    for (takeover, keys_check) in [("reject-newer", identity.keys_check()), ("exclusive-device", 1)] {
        let (connection, _) = endpoint::dial(&endpoint, &identity, victim.addr).await.unwrap();
        let settings = Settings { takeover: takeover.to_owned(), keys_check };
        let mesh = endpoint.local_addr().unwrap();
        let hello = hello("evil", 5, mesh, settings);
        let refused = handshake::greet(&connection, &name("n1"), &hello).await.unwrap_err();
        assert!(refused.is_disagreement(), "{refused}");
    }
    none_under_way().await;
    assert_eq!(all.map(counted), [0, 0, 1, 1, 0, 0, 1, 1]);
    drop(silent);
}

#[tokio::test]
async fn a_peer_that_is_cut_off_again_and_again_is_not_linked_for_a_while() {
    let victim = victim(true);
    for _ in 0..limits::OFFENCES_MAX {
        let evil = Member::link(&victim, "evil").await;
        write_frame(&mut evil.open(RECEIPTS).await, &tally(0)).await.unwrap();
        within("the end", evil.connection.closed()).await;
    }
    let identity = identity("evil");
    let endpoint = endpoint(&identity);
    let (connection, _) = endpoint::dial(&endpoint, &identity, victim.addr).await.unwrap();
    let settings = Settings { takeover: Takeover::default().to_string(), keys_check: identity.keys_check() };
    let mesh = endpoint.local_addr().unwrap();
    let hello = hello("evil", 6, mesh, settings);
    assert!(handshake::greet(&connection, &name("n1"), &hello).await.is_err());
    let reason = within("the end of a handshake", connection.closed()).await;
    assert!(
        matches!(reason, ConnectionError::ApplicationClosed(close) if close.error_code == CloseCode::Protocol.code())
    );
    Member::link(&victim, "honest").await;
}

/// Text of the files of cluster keys that take a node from the key of [`identity`] to another one.
const NEW_KEY: &str = "pmk1_IAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const HASH_KEY: &str = "pmh1_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn after_the_rotation(of: &str) -> Identity {
    let keys = ClusterKeys::parse(&format!("{NEW_KEY}\n{HASH_KEY}")).unwrap();
    Identity::from_cluster_keys(&ClusterName::new("shop").unwrap(), &name(of), &keys).unwrap()
}

#[tokio::test]
async fn a_peer_that_shows_nothing_but_a_certificate_of_a_key_that_was_replaced_is_cut_off() {
    let victim = victim(true);
    let evil = Member::link(&victim, "evil").await;
    victim.link_to(&name("evil")).await;
    victim.links.replace_identity(&after_the_rotation("n1"));
    let reason = within("the end of its link", evil.connection.closed()).await;
    assert!(
        matches!(&reason, ConnectionError::ApplicationClosed(close) if close.error_code == CloseCode::Ended.code()),
        "{reason}"
    );
    let (identity, endpoint) = (identity("evil"), endpoint(&identity("evil")));
    let dialled = async {
        // It is done before the other end has seen its certificate.
        match endpoint::dial(&endpoint, &identity, victim.addr).await {
            Ok((connection, _)) => connection.closed().await,
            Err(endpoint::DialError::Connection(error)) => error,
            Err(error) => panic!("{error}"),
        }
    };
    let refused = within("the refusal", dialled).await;
    assert_eq!(Refusal::of_connection(&refused), Some(Refusal::Identity), "{refused}");
}

#[tokio::test]
async fn a_handshake_that_began_before_the_key_was_replaced_makes_no_link_that_stays() {
    let victim = victim(true);
    let (identity, endpoint) = (identity("evil"), endpoint(&identity("evil")));
    let (connection, _) = endpoint::dial(&endpoint, &identity, victim.addr).await.unwrap();
    // Its certificate was seen: a stream of it is heard only after that.
    while victim.links.handshakes() == 0 {
        tokio::task::yield_now().await;
    }
    victim.links.replace_identity(&after_the_rotation("n1"));
    let settings = Settings { takeover: Takeover::default().to_string(), keys_check: identity.keys_check() };
    let hello = hello("evil", 5, endpoint.local_addr().unwrap(), settings);
    // Whether it was in time or not.
    let _ = handshake::greet(&connection, &name("n1"), &hello).await;
    within("the end of its link", connection.closed()).await;
}
