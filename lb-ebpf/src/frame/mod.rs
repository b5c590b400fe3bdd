//! A frame, by its headers: one file each. Only `packet` has pointers into it.

pub mod ipv4;
pub mod link;
mod packet;
mod parse;
pub mod transport;

pub use self::{
    packet::{Field, Header, Packet},
    parse::{Incoming, Parsed, parse, parse_unusual, usual},
    transport::Ports,
};
