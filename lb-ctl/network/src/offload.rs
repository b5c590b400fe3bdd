//! What an interface does to packets before a program sees them.

use std::{io, mem::zeroed, os::fd::AsRawFd as _};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// True if the interface merges packets that it receives (generic receive offload).
///
/// # Errors
/// The interface does not exist.
pub fn merges(interface: &str) -> io::Result<bool> {
    /// `ETHTOOL_GGRO` of `linux/ethtool.h`.
    const GET_GRO: u32 = 0x2b;
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    /// `struct ethtool_value`.
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    let mut value = Value {
        command: GET_GRO,
        data: 0,
    };
    // SAFETY: plain bytes, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let name = interface.bytes().take(request.ifr_name.len() - 1);
    for (to, byte) in request.ifr_name.iter_mut().zip(name) {
        *to = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    let any = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: request and value live as long as the call, which reads and writes the value only.
    let outcome = unsafe { libc::ioctl(any.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    match outcome {
        0 => Ok(value.data != 0),
        _ => Err(io::Error::last_os_error()),
    }
}
