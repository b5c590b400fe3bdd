//! The end of an IPIP tunnel (RFC 2003), for kernels without the device `ipip`. Receives IPIP
//! packets by a raw socket, removes the outer header, and writes the inner packet to a TUN device.

use std::{
    ffi::CString,
    fs::File,
    io::{Read, Write},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use anyhow::{Context, Result};
use etherparse::Ipv4HeaderSlice;
use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt::RcvBufForce},
};

use crate::ready;

pub fn run(tun: &str) -> Result<()> {
    let mut device = tun_device(tun).with_context(|| format!("open the TUN device {tun}"))?;
    let mut socket = ipip_socket().context("open a raw socket for IPIP")?;
    ready::say();
    let mut packet = vec![0; 1 << 16];
    loop {
        let length = socket.read(&mut packet).context("receive IPIP")?;
        let outer = packet.get(..length).unwrap_or_default();
        let Some(inner) = inner(outer) else {
            continue;
        };
        // The kernel refuses anything but an IP packet, and everything while the device is down.
        if let Err(error) = device.write_all(inner) {
            eprintln!("drop a packet of {} bytes: {error}", inner.len());
        }
    }
}

fn inner(packet: &[u8]) -> Option<&[u8]> {
    let outer = Ipv4HeaderSlice::from_slice(packet).ok()?;
    packet.get(outer.slice().len()..)
}

fn ipip_socket() -> Result<File> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is passed.
    let socket = unsafe { libc::socket(libc::AF_INET, kind, libc::IPPROTO_IPIP) };
    let socket = Errno::result(socket)?;
    // SAFETY: the descriptor was just made, and nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    setsockopt(&socket, RcvBufForce, &(16 << 20))?;
    Ok(File::from(socket))
}

fn tun_device(name: &str) -> Result<File> {
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    let name = CString::new(name)?;
    // SAFETY: `ifreq` is plain data, for which zeroes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes_with_nul()) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF takes an `ifreq`, which lives until the call returns.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    Errno::result(result)?;
    Ok(device)
}
