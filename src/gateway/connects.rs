//! How often clients may connect: each address, and each user, at this node.
//!
//! A node remembers nobody whose bucket is full again. Of those whose bucket is not it remembers so many; when there are more,
//! further ones are not held back: a crowd from that many addresses is not stopped by counting them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Bucket, LimitsConfig, Rate};
use crate::gateway::remembered::has_room;
use crate::id::UserId;

/// The rates of connecting.
pub(crate) struct Connects {
    addresses: Option<Buckets<IpAddr>>,
    users: Option<Buckets<UserId>>,
}

impl Connects {
    /// As a configuration says.
    pub(crate) fn new(limits: &LimitsConfig) -> Self {
        Self {
            addresses: limits.connects_per_address.map(Buckets::new),
            users: limits.connects_per_user.map(Buckets::new),
        }
    }

    /// A client connects from there.
    ///
    /// # Errors
    /// Too many did; after that time it may.
    pub(super) fn at_address(&self, address: IpAddr) -> Result<(), Duration> {
        self.addresses.as_ref().map_or(Ok(()), |buckets| buckets.take(network(address), Instant::now()))
    }

    /// A client of that user connects.
    ///
    /// # Errors
    /// Too many did; after that time it may.
    pub(super) fn for_user(&self, user: &UserId) -> Result<(), Duration> {
        self.users.as_ref().map_or(Ok(()), |buckets| buckets.take(user.clone(), Instant::now()))
    }
}

/// What counts as one address: of IPv6 the network, in which a client has as many as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        four => four,
    }
}

/// A bucket for each key.
struct Buckets<K> {
    rate: Rate,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        // A panic elsewhere leaves a number that is as good as any.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !has_room(&mut buckets, &key, BUCKETS_MAX, |bucket| bucket.is_full(now)) {
            return Ok(());
        }
        self.rate.take(buckets.entry(key).or_default(), now)
    }
}

/// Keys that are remembered, some 100 bytes each. Guess: more than connect in one while at one node.
const BUCKETS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn connects(address: Option<&str>, user: Option<&str>) -> Connects {
        let rate = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        let limits = LimitsConfig {
            connects_per_address: rate(address),
            connects_per_user: rate(user),
            ..Default::default()
        };
        Connects::new(&limits)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_has_its_own_bucket_and_a_network_of_ipv6_has_one() {
        let connects = connects(Some("2/10s"), None);
        let from = |text| connects.at_address(address(text));
        assert_eq!([from("192.0.2.1"), from("::ffff:192.0.2.1")], [Ok(()); 2]);
        assert_eq!(from("192.0.2.1"), Err(Duration::from_secs(5)));
        assert_eq!(from("192.0.2.2"), Ok(()));
        assert_eq!([from("2001:db8::1"), from("2001:db8::ffff:2")], [Ok(()); 2]);
        assert!(from("2001:db8:0:0:7::3").is_err());
        assert_eq!(from("2001:db8:0:1::1"), Ok(()));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(from("192.0.2.1"), Ok(()));
        let user = UserId::new("u").unwrap();
        assert!((0..99).all(|_| connects.for_user(&user).is_ok()), "without a rate nobody is held back");
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_remembered_and_no_more_and_none_for_ever() {
        let connects = connects(None, Some("1/10s"));
        let user = |number: usize| UserId::new(format!("u{number}")).unwrap();
        for number in 0..BUCKETS_MAX {
            assert_eq!(connects.for_user(&user(number)), Ok(()));
        }
        let late = user(BUCKETS_MAX);
        assert_eq!(
            [connects.for_user(&late), connects.for_user(&late)],
            [Ok(()); 2],
            "there is no room for it"
        );
        assert!(connects.for_user(&user(0)).is_err(), "the others are held back as before");
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(connects.for_user(&late), Ok(()));
        assert!(connects.for_user(&late).is_err());
        assert_eq!(connects.users.unwrap().buckets.lock().unwrap().len(), 1);
    }
}
