//! What the kernel announces, as far as it matters here.

use std::fmt;

use rtnetlink::{
    packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
};

use super::{
    links::Port,
    neighbours::{Neighbour, NextHop},
    routes::{self, EVERYWHERE, Span},
};

/// Message types of nexthop objects (`linux/rtnetlink.h`), which the library does not read.
const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;

/// Something that happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// An interface is like this now.
    Link(Port),
    /// The interface of this index is gone.
    LinkGone(u32),
    /// Addresses of this machine came or went.
    Address,
    /// Routes of these addresses may have changed.
    Route(Span),
    /// A neighbour is like this now.
    Neighbour(NextHop, Neighbour),
    /// A neighbour was forgotten.
    NeighbourGone(NextHop),
}

/// A message that cannot be read, so that nobody knows what happened.
#[derive(Debug)]
pub(super) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read the kernel's message: {}", self.0)
    }
}

/// Reads a datagram of the kernel's.
pub(super) fn read(mut datagram: &[u8]) -> Result<Vec<Event>, Unreadable> {
    let mut events = Vec::new();
    while !datagram.is_empty() {
        let header = NetlinkBuffer::new_checked(datagram).map_err(|e| Unreadable(e.to_string()))?;
        let length = header.length() as usize;
        let event = match header.message_type() {
            RTM_NEWNEXTHOP | RTM_DELNEXTHOP => Some(Event::Route(EVERYWHERE)),
            _ => {
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(datagram)
                    .map_err(|e| Unreadable(e.to_string()))?;
                match message.payload {
                    NetlinkPayload::InnerMessage(message) => event(&message),
                    _ => None,
                }
            }
        };
        events.extend(event);
        // Messages are aligned to four bytes.
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    Ok(events)
}

fn event(message: &RouteNetlinkMessage) -> Option<Event> {
    match message {
        RouteNetlinkMessage::NewLink(link) => Port::from_message(link).map(Event::Link),
        RouteNetlinkMessage::DelLink(link) => {
            Port::from_message(link).map(|port| Event::LinkGone(port.interface))
        }
        RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_) => {
            Some(Event::Address)
        }
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
            Some(Event::Route(routes::span(route)))
        }
        RouteNetlinkMessage::NewRule(_) | RouteNetlinkMessage::DelRule(_) => {
            Some(Event::Route(EVERYWHERE))
        }
        RouteNetlinkMessage::NewNeighbour(neighbour) => {
            let (hop, neighbour) = Neighbour::from_message(neighbour)?;
            Some(Event::Neighbour(hop, neighbour))
        }
        RouteNetlinkMessage::DelNeighbour(neighbour) => {
            let (hop, _) = Neighbour::from_message(neighbour)?;
            Some(Event::NeighbourGone(hop))
        }
        _ => None,
    }
}
