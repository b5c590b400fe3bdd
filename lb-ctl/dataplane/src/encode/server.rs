//! The map `servers`: whose an entry is; and what a roster says of a server.

use lb_common::{
    server::{Method as MethodNumber, Server as Entry},
    service::ServiceKey,
};
use lb_model::{Method, Server, ServerId, Service, ServiceId};

use super::{
    number::{method, method_number},
    service::{key, service_id},
    unsupported::Unsupported,
    wire::{at, wire},
};

/// What tells one entry of the map `servers` from another: connections keep the forwarding
/// method that they were opened with, so a server has an entry for each method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The service.
    pub service: ServiceId,
    /// The server.
    pub server: ServerId,
    /// The forwarding method.
    pub method: Method,
}

/// A server of a service: its identity, and its weight in the roster.
pub fn roster_entry(service: &Service, server: &Server) -> (Identity, u32) {
    let identity = Identity {
        service: service.id,
        server: server.id,
        method: service.method(server),
    };
    (identity, server.options.weight)
}

/// The entry of a server of which nothing else is known yet.
pub fn entry(identity: &Identity) -> Result<Entry, Unsupported> {
    let &Identity {
        service,
        server,
        method,
    } = identity;
    let key = key(service)?;
    Ok(Entry {
        address: wire(server.address)?,
        port: server.port.to_be(),
        service_address: key.address,
        service_port: key.port,
        protocol: key.protocol,
        method: method_number(method)? as u8,
        ..Entry::default()
    })
}

/// Whose entry it is; `None` if it is not in use.
pub fn identity(entry: &Entry) -> Option<Identity> {
    let key = ServiceKey::of_address(entry.service_address, entry.service_port, entry.protocol);
    let server = at(entry.address, entry.port);
    Some(Identity {
        service: service_id(&key)?,
        server: ServerId {
            address: server.ip(),
            port: server.port(),
        },
        method: method(entry.method)?,
    })
}

/// The addresses, as on the wire, whose packets concern the director because of this entry:
/// clients' packets go to the VIP, replies of a NAT server come from its address.
pub fn concerns(entry: &Entry) -> impl Iterator<Item = u32> + use<> {
    let reply = (entry.method == MethodNumber::Nat as u8).then_some(entry.address);
    [entry.service_address].into_iter().chain(reply)
}
