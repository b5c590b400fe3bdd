//! The offloads of veth pairs, which tests of XDP cannot leave as they are. What
//! `ethtool -K IF tx off tso off gso off gro off` does, without `ethtool`.
//!
//! Packets of local sockets cross a veth with a checksum that is still to be computed, and
//! as giants that are still to be cut: an XDP program would see both. So every end sends
//! as a wire would, and receives packets as they were sent, so that they can be counted.

use std::{ffi::CString, os::fd::AsRawFd};

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::namespace::Namespace;

// linux/ethtool.h
const SET_TX_CHECKSUM: u32 = 0x17;
const SET_TSO: u32 = 0x1f;
const SET_GSO: u32 = 0x24;
const SET_GRO: u32 = 0x2c;

/// Makes one end of a veth pair send and receive as a wire would.
pub fn disable(namespace: &Namespace, interface: &str) -> Result<()> {
    namespace.inside(|| {
        [SET_TX_CHECKSUM, SET_TSO, SET_GSO, SET_GRO]
            .iter()
            .try_for_each(|command| ethtool(interface, *command, 0))
            .with_context(|| format!("set the offloads of {interface} in {}", namespace.name()))
    })
}

/// Makes one end of a veth pair take packets as a driver with NAPI does, several at a time,
/// though no XDP program is attached to it.
pub fn poll(namespace: &Namespace, interface: &str) -> Result<()> {
    namespace.inside(|| {
        ethtool(interface, SET_GRO, 1)
            .with_context(|| format!("turn GRO on for {interface} in {}", namespace.name()))
    })
}

/// `struct ethtool_value`
#[repr(C)]
struct Value {
    command: u32,
    value: u32,
}

fn ethtool(interface: &str, command: u32, value: u32) -> Result<()> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let name = CString::new(interface)?;
    let mut value = Value { command, value };
    // SAFETY: `ifreq` is plain data, for which zeroes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes_with_nul()) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: SIOCETHTOOL takes an `ifreq` whose data is an `ethtool_value` for these
    // commands; both live until the call returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    nix::errno::Errno::result(result)?;
    Ok(())
}
