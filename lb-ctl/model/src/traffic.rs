//! What is counted.

use std::{
    iter::Sum,
    ops::{Add, AddAssign},
};

use serde::{Deserialize, Serialize};

/// What passed, or what passes in a second. Bytes count from the IP header on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Connections that were opened.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients, where they pass the director.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients, where they pass the director.
    pub out_bytes: u64,
}

/// Connections that there are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Those in a state that IPVS calls active.
    pub active: u64,
    /// All others.
    pub inactive: u64,
}

/// Sums, field by field. Where a field is left out, this does not compile.
macro_rules! sums {
    ($($type:ident { $($field:ident),* })*) => {$(
        impl Add for $type {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self { $($field: self.$field + other.$field),* }
            }
        }

        impl AddAssign for $type {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl Sum for $type {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::default(), Self::add)
            }
        }
    )*};
}

sums! {
    Counters { connections, in_packets, out_packets, in_bytes, out_bytes }
    Load { active, inactive }
}
