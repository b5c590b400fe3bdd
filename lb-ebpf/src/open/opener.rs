//! Which packets may open a connection. A packet that may not is left to the kernel's network
//! stack, which judges it by all of its rules.

use lb_common::{passes::Pass, protocol::TCP, state::tcp};

use crate::{
    frame::{Packet, Parsed, ipv4, transport},
    settings,
};

/// In TCP, a SYN without RST, unless it comes from port 20 (a data connection of FTP); in UDP,
/// every datagram.
#[inline(always)]
pub fn opens(parsed: &Parsed) -> bool {
    const FTP_DATA: u16 = 20u16.to_be();
    parsed.key.protocol() != TCP
        || (parsed.flags & (tcp::SYN | tcp::RST) == tcp::SYN
            && parsed.key.source_port() != FTP_DATA)
}

/// Why a packet that [`opens`] must not. Packets of known connections are not checked: a server
/// drops what is wrong with them.
#[inline(always)]
pub fn fault(packet: Packet, parsed: &Parsed) -> Option<Pass> {
    if settings::is_no_client(parsed.key.source()) {
        return Some(Pass::Forged);
    }
    let header = ipv4::header_length(parsed.ip);
    let payload = usize::from(parsed.length).wrapping_sub(header);
    let whole = ipv4::is_checksum_right(packet, parsed.link, parsed.ip)
        && transport::is_whole(packet, parsed.key.protocol(), parsed.ports, payload);
    (!whole).then_some(Pass::Malformed)
}
