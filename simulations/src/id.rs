//! The numbers by which a run knows its nodes, clients and pushes, and the names that the product knows.

/// Number of a node: its place among the nodes of the run.
pub(crate) type NodeIndex = usize;
/// Number of a client: one user and device, however often it connects.
pub(crate) type ClientIndex = usize;
/// Number of a connection, unique in the run.
pub(crate) type ConnectionId = u64;
/// Number of a push, unique in the run; later ones are greater.
pub(crate) type PushId = u64;
/// Number of a call over HTTP, unique in the run.
pub(crate) type CallId = u64;

/// The user of a client. Two of three clients share their user with another one.
pub(crate) fn user_of(client: ClientIndex) -> usize {
    client * 2 / 3
}

/// The name of a node.
pub(crate) fn node_name(node: NodeIndex) -> String {
    format!("n{}", node + 1)
}

/// The name that a node has after it was replaced so many times by one with another name.
pub(crate) fn replaced_name(node: NodeIndex, times: usize) -> String {
    if times == 0 { node_name(node) } else { format!("{}-{times}", node_name(node)) }
}

/// The node with that name, or that had it.
pub(crate) fn node_of(name: &str) -> Option<NodeIndex> {
    let number = name.strip_prefix('n')?.split('-').next()?;
    number.parse::<NodeIndex>().ok()?.checked_sub(1)
}

/// The name of a client's device.
pub(crate) fn device_name(client: ClientIndex) -> String {
    format!("d{client}")
}

/// The client with that device.
pub(crate) fn client_of(device: &str) -> Option<ClientIndex> {
    device.strip_prefix('d')?.parse().ok()
}

/// The name of a user.
pub(crate) fn user_name(user: usize) -> String {
    format!("u{user}")
}

/// The user with that name.
pub(crate) fn user_named(name: &str) -> Option<usize> {
    name.strip_prefix('u')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_by_each_of_its_names() {
        for times in 0..3 {
            assert_eq!(node_of(&replaced_name(11, times)), Some(11));
        }
        assert_eq!((node_of("n0"), node_of("m1"), node_of("n")), (None, None, None));
    }
}
