//! Switches off the offloads of veth pairs. Does what `ethtool -K IF tx off tso off gso off gro
//! off` does, without `ethtool`.
//!
//! By default, a packet of a local socket crosses a veth pair without its checksum, and several
//! segments cross as one large packet; an XDP program would see both. Without offloads, each end
//! sends as a network card would. It also receives packets as they were sent, so that tests can
//! count them.

use std::{ffi::CString, os::fd::AsRawFd};

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::namespace::Namespace;

// linux/ethtool.h
const SET_TX_CHECKSUM: u32 = 0x17;
const SET_TSO: u32 = 0x1f;
const SET_GSO: u32 = 0x24;
const SET_GRO: u32 = 0x2c;

/// Makes one end of a veth pair send and receive as a network card would.
pub fn disable(namespace: &Namespace, interface: &str) -> Result<()> {
    namespace.inside(|| {
        [SET_TX_CHECKSUM, SET_TSO, SET_GSO, SET_GRO]
            .iter()
            .try_for_each(|command| ethtool(interface, *command, 0))
            .with_context(|| format!("set the offloads of {interface} in {}", namespace.name()))
    })
}

/// Makes one end of a veth pair receive several packets at a time (NAPI), as a driver does, even
/// without an XDP program.
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
