//! Virtual services: which one a packet is for.

use lb_common::{
    layout::key::Key,
    service::{Service, ServiceKey},
};

use crate::maps;

/// The service that a packet with this key is for.
#[inline(always)]
pub fn find(key: &Key) -> Option<&'static Service> {
    let key = ServiceKey::of_address(key.destination(), key.destination_port(), key.protocol());
    // SAFETY: the kernel replaces values whole; one that was just removed stays readable
    // until this program ends.
    unsafe { maps::SERVICES.get(key) }
}
