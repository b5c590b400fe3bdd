//! The map `services`: a key and a value for each service.

use lb_common::service::{Service as Value, ServiceKey};
use lb_model::{Service, ServiceId, ServiceOptions};

use super::{
    number::{method_number, protocol, protocol_number, scheduler_number},
    unsupported::Unsupported,
    wire::{at, wire},
};

/// A service's key in maps.
pub fn key(id: ServiceId) -> Result<ServiceKey, Unsupported> {
    match id {
        ServiceId::Address { protocol, at } => Ok(ServiceKey::of_address(
            wire(at.ip())?,
            at.port().to_be(),
            protocol_number(protocol)?,
        )),
        ServiceId::Mark { .. } => Err(Unsupported(format!("services by firewall mark ({id})"))),
    }
}

/// The VIP of a service, as on the wire, if it has one.
pub fn vip(service: &ServiceId) -> Option<u32> {
    match service {
        ServiceId::Address { at, .. } => wire(at.ip()).ok(),
        ServiceId::Mark { .. } => None,
    }
}

/// The service of a key; `None` if the key makes no sense.
pub fn service_id(key: &ServiceKey) -> Option<ServiceId> {
    if key.mark().is_some() {
        return None;
    }
    Some(ServiceId::Address {
        protocol: protocol(key.protocol)?,
        at: at(key.address, key.port),
    })
}

/// What the map `services` says of a service. Its roster and its row are left for whoever writes
/// it; its servers are in the roster.
pub fn value(service: &Service) -> Result<Value, Unsupported> {
    let ServiceOptions {
        scheduler, forward, ..
    } = &service.options;
    Ok(Value {
        roster: 0,
        servers: service.servers.len() as u32,
        scheduler: scheduler_number(scheduler)? as u8,
        forward: method_number(*forward)? as u8,
        _flags: 0,
        index: 0,
        _room: [0; 4],
    })
}
