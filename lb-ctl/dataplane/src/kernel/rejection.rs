//! Why the kernel does not attach an XDP program: in words of the driver. Links come without them, a
//! bare errno is all that they give (Linux 6.18); netlink gives an "extended acknowledgement". So
//! what failed by link is tried again by netlink, only to hear the reason.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
};

use nix::sys::socket::{MsgFlags, recv, send};

use super::xdp::{self, IFLA_XDP};

// Of `include/uapi/linux/netlink.h`, `rtnetlink.h` and `if_link.h`.
const NLMSG_ERROR: u16 = 2;
const RTM_SETLINK: u16 = 19;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NETLINK_CAP_ACK: libc::c_int = 10;
const NETLINK_EXT_ACK: libc::c_int = 11;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLA_F_NESTED: u16 = 0x8000;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_XDP_EXPECTED_FD: u16 = 8;
const XDP_FLAGS_UPDATE_IF_NOEXIST: u32 = 1;
const XDP_FLAGS_SKB_MODE: u32 = 2;
const XDP_FLAGS_DRV_MODE: u32 = 4;
const XDP_FLAGS_REPLACE: u32 = 16;
/// `struct nlmsghdr`, the errno, and the header that is acknowledged.
const BEFORE_WORDS: usize = 16 + 4 + 16;

/// What the driver, or the kernel in its place, says against a program for an interface. Nothing
/// where it says nothing, or has changed its mind; the interface has no program afterwards.
pub fn reason(interface: u32, program: BorrowedFd, native: bool) -> Option<String> {
    let mode = if native {
        XDP_FLAGS_DRV_MODE
    } else {
        XDP_FLAGS_SKB_MODE
    };
    let program = program.as_raw_fd();
    let attach = attribute(IFLA_XDP_FD, program.to_ne_bytes());
    let flags = attribute(
        IFLA_XDP_FLAGS,
        (mode | XDP_FLAGS_UPDATE_IF_NOEXIST).to_ne_bytes(),
    );
    let said = ask(interface, &[attach, flags].concat()).ok()?;
    if !said.failed {
        // It is attached now, by netlink: that is not how it was wanted.
        let detach = attribute(IFLA_XDP_FD, (-1i32).to_ne_bytes());
        let flags = attribute(IFLA_XDP_FLAGS, (mode | XDP_FLAGS_REPLACE).to_ne_bytes());
        let ours = attribute(IFLA_XDP_EXPECTED_FD, program.to_ne_bytes());
        let detached = ask(interface, &[detach, flags, ours].concat());
        if !detached.is_ok_and(|said| !said.failed) {
            tracing::warn!("interface {interface}: a trial attachment was not removed");
        }
    }
    said.words
}

/// The kernel's answer.
#[derive(Debug, PartialEq)]
struct Said {
    failed: bool,
    words: Option<String>,
}

/// Changes the XDP program of an interface.
fn ask(interface: u32, xdp: &[u8]) -> io::Result<Said> {
    let socket = xdp::route_socket()?;
    for option in [NETLINK_EXT_ACK, NETLINK_CAP_ACK] {
        enable(&socket, option)?;
    }
    let mut message = vec![0u8; 32];
    message.extend(((4 + xdp.len()) as u16).to_ne_bytes());
    message.extend((IFLA_XDP | NLA_F_NESTED).to_ne_bytes());
    message.extend(xdp);
    let length = message.len() as u32;
    message[0..4].copy_from_slice(&length.to_ne_bytes());
    message[4..6].copy_from_slice(&RTM_SETLINK.to_ne_bytes());
    message[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message[20..24].copy_from_slice(&interface.to_ne_bytes());
    send(socket.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut answer = [0u8; 4096];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    read(&answer[..length]).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn enable(socket: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads the length of `on`, which lives.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// An attribute of four bytes.
fn attribute(kind: u16, contents: [u8; 4]) -> Vec<u8> {
    let mut bytes = 8u16.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(contents);
    bytes
}

fn read(answer: &[u8]) -> Option<Said> {
    let number = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    if number(4)? != NLMSG_ERROR {
        return None;
    }
    let errno = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    let words = (number(6)? & NLM_F_ACK_TLVS != 0)
        .then(|| xdp::attribute(answer.get(BEFORE_WORDS..)?, NLMSGERR_ATTR_MSG))
        .flatten();
    let words = words.map(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        text.trim_matches(['\0', ' ', '\n']).to_owned()
    });
    Some(Said {
        failed: errno != 0,
        words,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read_and_nonsense_is_not() {
        let mut answer = vec![0u8; BEFORE_WORDS];
        answer[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        answer[16..20].copy_from_slice(&(-libc::ERANGE).to_ne_bytes());
        let said = |words: Option<&str>| {
            Some(Said {
                failed: true,
                words: words.map(str::to_owned),
            })
        };
        assert_eq!(read(&answer), said(None));
        answer[6..8].copy_from_slice(&NLM_F_ACK_TLVS.to_ne_bytes());
        answer.extend(12u16.to_ne_bytes());
        answer.extend(NLMSGERR_ATTR_MSG.to_ne_bytes());
        answer.extend(b"too big\0");
        assert_eq!(read(&answer), said(Some("too big")));
        for length in 0..20 {
            assert_eq!(read(&answer[..length]), None, "{length}");
        }
    }

    #[test]
    fn an_interface_that_does_not_exist_is_an_error() {
        let xdp = attribute(IFLA_XDP_FD, (-1i32).to_ne_bytes());
        assert!(ask(u32::MAX >> 1, &xdp).is_ok_and(|said| said.failed));
    }
}
