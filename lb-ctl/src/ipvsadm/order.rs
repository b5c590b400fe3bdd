//! The order of listings. IPVS's tool compares by subtraction in 32 bits, so that what is more
//! than 2^31 apart stands the other way round; no total order, and a merge sort of its kind is
//! what gives the same listing.

use std::net::{IpAddr, SocketAddr};

use crate::ipvs::{Key, ListedServer, ListedService};

/// Services, then each one's servers.
pub fn sort(services: &mut Vec<ListedService>) {
    merge_sort(services, &|a, b| {
        services_apart(&a.service.key, &b.service.key)
    });
    for service in services {
        let apart = |a: &ListedServer, b: &ListedServer| servers_apart(a.server.at, b.server.at);
        merge_sort(&mut service.servers, &apart);
    }
}

fn services_apart(a: &Key, b: &Key) -> i32 {
    let rank = |key: &Key| match *key {
        Key::Mark { mark, ipv6 } => (mark, ipv6, 0, None),
        Key::Address { transport, at } => (0, at.is_ipv6(), transport as u8, Some(at)),
    };
    let ((mark_a, ipv6_a, transport_a, at_a), (mark_b, ipv6_b, transport_b, at_b)) =
        (rank(a), rank(b));
    let steps = [
        difference(mark_a, mark_b),
        difference(ipv6_a.into(), ipv6_b.into()),
        difference(transport_a.into(), transport_b.into()),
    ];
    let first = steps.into_iter().find(|&step| step != 0);
    first.unwrap_or_else(|| match (at_a, at_b) {
        (Some(a), Some(b)) => servers_apart(a, b),
        _ => 0,
    })
}

/// IPv4 addresses stand where the first word of an IPv6 address does.
fn servers_apart(a: SocketAddr, b: SocketAddr) -> i32 {
    let pairs = words(a.ip()).into_iter().zip(words(b.ip()));
    let ports = (a.port().into(), b.port().into());
    pairs
        .chain([ports])
        .map(|(a, b)| difference(a, b))
        .find(|&difference| difference != 0)
        .unwrap_or_default()
}

fn words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(address) => [address.to_bits(), 0, 0, 0],
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
        }
    }
}

fn difference(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

/// Of two equal items, the first stays first. Unlike the library's sort, it takes comparisons
/// that contradict each other.
fn merge_sort<T>(items: &mut Vec<T>, apart: &impl Fn(&T, &T) -> i32) {
    if items.len() < 2 {
        return;
    }
    let mut right = items.split_off(items.len() / 2);
    let mut left = std::mem::take(items);
    merge_sort(&mut left, apart);
    merge_sort(&mut right, apart);
    items.reserve_exact(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if apart(a, b) <= 0 {
            left.next()
        } else {
            right.next()
        };
        items.extend(next);
    }
    items.extend(left);
    items.extend(right);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_in_order_is_sorted_as_usual(mut items in proptest::collection::vec(0..1000i32, 0..200)) {
            let mut expected = items.clone();
            expected.sort();
            merge_sort(&mut items, &|a, b| a - b);
            prop_assert_eq!(items, expected);
        }

        #[test]
        fn contradictions_lose_nothing(items in proptest::collection::vec(any::<u32>(), 0..200)) {
            let mut sorted = items.clone();
            merge_sort(&mut sorted, &|a, b| difference(*a, *b));
            let count = |items: &[u32]| { let mut items = items.to_vec(); items.sort(); items };
            prop_assert_eq!(count(&sorted), count(&items));
        }
    }
}
