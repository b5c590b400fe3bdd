//! Which XDP program an interface has, and who put it there: links and netlink are two ways, and
//! each takes away only what came by it.

use std::io;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use super::syscall;

/// The XDP program of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// How: `IFLA_XDP_ATTACHED`.
    pub how: How,
    /// The number of the program, if there is one only.
    pub program: Option<u32>,
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
    /// In the card.
    Offloaded,
    /// In several of these.
    Several,
}

// Of `include/uapi/linux/rtnetlink.h` and `if_link.h`.
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLM_F_REQUEST: u16 = 1;
const IFLA_MTU: u16 = 4;
pub const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
/// `struct nlmsghdr` and `struct ifinfomsg`, 16 bytes each.
const HEADERS: usize = 32;

/// Looks at an interface of this network namespace.
pub fn attached(interface: u32) -> io::Result<Option<Attached>> {
    Ok(read(&listing(interface)?))
}

/// The largest packet that an interface of this network namespace sends, in bytes.
pub fn mtu(interface: u32) -> Option<u32> {
    let answer = listing(interface).ok()?;
    let bytes = attribute(answer.get(HEADERS..)?, IFLA_MTU)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// Netlink to the part of the kernel that knows interfaces.
pub fn route_socket() -> io::Result<OwnedFd> {
    Ok(socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?)
}

/// The kernel's answer to the question about an interface.
fn listing(interface: u32) -> io::Result<Vec<u8>> {
    let socket = route_socket()?;
    let mut question = [0u8; HEADERS];
    question[0..4].copy_from_slice(&(HEADERS as u32).to_ne_bytes());
    question[4..6].copy_from_slice(&RTM_GETLINK.to_ne_bytes());
    question[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    question[20..24].copy_from_slice(&interface.to_ne_bytes());
    send(socket.as_raw_fd(), &question, MsgFlags::empty())?;
    let mut answer = vec![0u8; 1 << 16];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(length);
    Ok(answer)
}

fn read(answer: &[u8]) -> Option<Attached> {
    let kind = answer.get(4..6)?.try_into().ok()?;
    if u16::from_ne_bytes(kind) != RTM_NEWLINK {
        return None;
    }
    let xdp = attribute(answer.get(HEADERS..)?, IFLA_XDP)?;
    let how = match attribute(xdp, IFLA_XDP_ATTACHED)?.first()? {
        1 => How::Native,
        2 => How::Generic,
        3 => How::Offloaded,
        4 => How::Several,
        _ => return None,
    };
    let program = attribute(xdp, IFLA_XDP_PROG_ID)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_ne_bytes);
    Some(Attached { how, program })
}

/// The contents of an attribute.
pub fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    /// The upper bits say what an attribute contains.
    const KIND: u16 = 0x3fff;
    loop {
        let word = |at: usize| {
            let bytes = attributes.get(at..at + 2)?.try_into().ok()?;
            Some(u16::from_ne_bytes(bytes))
        };
        let length = usize::from(word(0)?);
        let kind = word(2)? & KIND;
        let contents = attributes.get(4..length)?;
        if kind == wanted {
            return Some(contents);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// The link that attaches a program to an interface, by its number. Nothing if the program was
/// attached by netlink, or where this process may not look.
pub fn link_of(interface: u32, program: u32) -> Option<u32> {
    let mut last = 0;
    while let Ok(id) = syscall::next_link(last) {
        last = id;
        // It may have ended meanwhile.
        let link = syscall::link_by_id(id).and_then(|link| syscall::look_at(link.as_fd()));
        if link.is_ok_and(|link| {
            link.is_xdp() && link.interface == interface && link.program == program
        }) {
            return Some(id);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(kind: u16, contents: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((4 + contents.len() as u16).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(contents);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn the_kernels_answer_is_read_and_nonsense_is_not() {
        let xdp = [with(2, &[2]), with(4, &77u32.to_ne_bytes())].concat();
        let mut answer = vec![0u8; HEADERS];
        answer[4..6].copy_from_slice(&RTM_NEWLINK.to_ne_bytes());
        answer.extend(with(3, b"eth0\0"));
        // With the bit for "nested".
        answer.extend(with(IFLA_XDP | 0x8000, &xdp));
        let generic = Attached {
            how: How::Generic,
            program: Some(77),
        };
        assert_eq!(read(&answer), Some(generic));
        for length in 0..answer.len() {
            assert_eq!(read(&answer[..length]), None, "{length}");
        }
        answer[4] = 2;
        assert_eq!(read(&answer), None);
    }

    #[test]
    fn the_loopback_interface_has_no_program() {
        assert_eq!(attached(1).unwrap(), None);
        assert_eq!(mtu(1), Some(65_536));
    }
}
