//! One cluster key takes the place of another, and one certificate that of another, while nodes run.

use super::*;

const HASH_LINE: &str = "pmh1_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// What the file of a node holds in the steps of a rotation from [`KEY`] to [`OTHER_KEY`].
fn steps() -> [String; 4] {
    [
        KEY.to_owned(),
        format!("{KEY}\n{OTHER_KEY}\n{HASH_LINE}"),
        format!("{OTHER_KEY}\n{KEY}\n{HASH_LINE}"),
        format!("{OTHER_KEY}\n{HASH_LINE}"),
    ]
}

#[tokio::test]
async fn nodes_link_while_their_steps_of_a_rotation_differ_by_one() {
    let steps = steps();
    for (from, to) in [(0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3)] {
        for (server, client) in [(from, to), (to, from)] {
            let (n1, n2) = (identity("shop", "n1", &steps[server]), identity("shop", "n2", &steps[client]));
            assert_eq!(n1.keys_check(), n2.keys_check());
            let (accepted, dialed, _endpoints) = link(&n1, &n2).await;
            round_trip(&dialed, &accepted).await.unwrap();
            assert_eq!(n1.peer_name(&accepted).unwrap(), node("n2"));
        }
    }
}

#[tokio::test]
async fn a_node_that_has_finished_refuses_who_signs_with_the_old_key() {
    let [old, _, _, done] = steps();
    let (server, _) =
        refused(&identity("shop", "n1", &done), intruder(Some(&identity("shop", "n2", &old)))).await;
    assert!(server.contains("UnknownIssuer"), "{server}");
    let client = refused_impostor(&identity("shop", "n1", &done), &identity("shop", "n2", &old)).await;
    assert!(client.contains("UnknownIssuer"), "{client}");
}

#[tokio::test]
async fn what_was_taken_over_counts_in_the_next_handshake_and_for_who_is_there() {
    let [old, both, new_signs, done] = steps().map(|step| identity("shop", "n1", &step));
    let peer = identity("shop", "n2", KEY);
    let (accepted, dialed, [accepting, dialing]) = link(&old, &peer).await;
    for step in [both, new_signs] {
        step.may_follow(&old).unwrap();
        old.replace(&step);
        assert!(old.trusts(&accepted));
    }
    assert_eq!(old.trusted(), identity("shop", "n1", &steps()[2]).trusted());
    old.replace(&done);
    assert!(!old.trusts(&accepted), "it has shown a certificate of the old key");
    assert!(peer.trusts(&dialed), "this one has not taken over anything");
    // The endpoint is the same as before, and so are the configurations.
    let addr = accepting.local_addr().unwrap();
    let again =
        dialing.connect_with(peer.client_config(MeshVersion::V5, [8; 32]), addr, SERVER_NAME).unwrap();
    let (refused, _) = within(async { tokio::join!(accept(&accepting), again) }).await;
    refused.expect_err("the peer shows a certificate of the old key");
    peer.replace(&identity("shop", "n2", &steps()[3]));
    let again =
        dialing.connect_with(peer.client_config(MeshVersion::V5, [9; 32]), addr, SERVER_NAME).unwrap();
    let (accepted, dialed) = within(async { tokio::join!(accept(&accepting), again) }).await;
    let (accepted, dialed) = (accepted.unwrap(), dialed.unwrap());
    round_trip(&dialed, &accepted).await.unwrap();
    assert!(old.trusts(&accepted) && peer.trusts(&dialed));
}

#[test]
fn what_nodes_have_agreed_on_is_not_taken_over() {
    let n1 = identity("shop", "n1", KEY);
    let follows = |text: &str| identity("shop", "n1", text).may_follow(&n1);
    assert!(matches!(follows(OTHER_KEY), Err(IdentityError::SharedKeys)));
    for step in steps() {
        follows(&step).unwrap();
    }
    let (ca, cert, key) = files::Operator::new().files("shop", "n1");
    let hash_key = HashKey::parse(HASH_LINE).unwrap();
    let of_files =
        Identity::from_files(&cluster("shop"), &node("n1"), [&ca, &cert, &key], &hash_key).unwrap();
    assert_eq!(of_files.keys_check(), n1.keys_check(), "the hash key is the same");
    assert!(matches!(of_files.may_follow(&n1), Err(IdentityError::OtherProof)));
}
