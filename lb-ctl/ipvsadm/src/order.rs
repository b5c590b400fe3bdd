//! The order of listings. ipvsadm compares two numbers by the sign of their difference in 32 bits,
//! so that numbers more than 2^31 apart come in reverse. That is no total order, and the result
//! depends on the algorithm: glibc's `qsort` was a merge sort where the captures were made.

use std::net::{IpAddr, SocketAddr};

use lb_api::{ListedServer, ListedService};
use lb_model::{Family, ServiceId};

use crate::text;

/// Sorts services, and the servers of each.
pub fn sort(services: &mut Vec<ListedService>) {
    merge_sort(services, &|a, b| services_apart(a.id, b.id));
    for service in services {
        let apart = |a: &ListedServer, b: &ListedServer| {
            endpoints_apart(text::address(a.id), text::address(b.id))
        };
        merge_sort(&mut service.servers, &apart);
    }
}

/// Services by address come before those by mark.
fn services_apart(a: ServiceId, b: ServiceId) -> i32 {
    let rank = |id| match id {
        ServiceId::Mark { mark, .. } => (mark, 0, None),
        ServiceId::Address { protocol, at } => (0, protocol as u32, Some(at)),
    };
    let family = |id: ServiceId| match id.family() {
        Family::V4 => 0,
        Family::V6 => 1,
    };
    let ((mark_a, protocol_a, at_a), (mark_b, protocol_b, at_b)) = (rank(a), rank(b));
    let steps = [
        difference(mark_a, mark_b),
        difference(family(a), family(b)),
        difference(protocol_a, protocol_b),
    ];
    let first = steps.into_iter().find(|&step| step != 0);
    first.unwrap_or_else(|| match (at_a, at_b) {
        (Some(a), Some(b)) => endpoints_apart(a, b),
        _ => 0,
    })
}

/// By address, then by port. An IPv4 address is compared with the first word of an IPv6 address.
fn endpoints_apart(a: SocketAddr, b: SocketAddr) -> i32 {
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

/// Equal items keep their order. The library's sort may panic where comparisons contradict each
/// other; this one does not.
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
