//! Reads the kernel's announcements, as far as they matter here.

use std::fmt;

use rtnetlink::{
    packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
};

use crate::{
    interfaces::Interface,
    neighbours::{Neighbour, NextHop},
    routes::{self, EVERYWHERE, Span},
};

/// Message types of nexthop objects (`linux/rtnetlink.h`), which the netlink library cannot parse.
const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;

/// A change that the kernel announced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The present state of an interface.
    Interface(Interface),
    /// The interface with this index is gone.
    InterfaceGone(u32),
    /// This machine has got or lost an address.
    Address,
    /// Routes of these addresses may have changed.
    Route(Span),
    /// The present state of a neighbour.
    Neighbour(NextHop, Neighbour),
    /// The kernel has deleted a neighbour.
    NeighbourGone(NextHop),
}

/// A message that cannot be parsed: what changed is unknown.
#[derive(Debug)]
pub(crate) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read the kernel's message: {}", self.0)
    }
}

/// Parses a datagram of the kernel's.
pub(crate) fn read(mut datagram: &[u8]) -> Result<Vec<Event>, Unreadable> {
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
        RouteNetlinkMessage::NewLink(message) => {
            Interface::from_message(message).map(Event::Interface)
        }
        RouteNetlinkMessage::DelLink(message) => {
            Interface::from_message(message).map(|interface| Event::InterfaceGone(interface.index))
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
