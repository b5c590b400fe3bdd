//! Which network namespace this process is in.

use std::{io, net::UdpSocket, os::fd::AsRawFd as _};

use anyhow::{Context as _, Result};

/// `include/uapi/asm-generic/socket.h`, since Linux 5.14.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// The lower half of its cookie, which the kernel gives to no other namespace until the machine
/// starts again; never 0. Cookies are counted from 1 on.
pub fn current() -> Result<u32> {
    cookie()
        .map(|cookie| (cookie as u32).max(1))
        .context("cannot ask the kernel for the network namespace's cookie")
}

fn cookie() -> io::Result<u64> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `cookie`.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    match outcome {
        0 => Ok(cookie),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn each_namespace_has_a_cookie_of_its_own() {
        let here = current().expect("a cookie");
        assert_eq!(current().expect("a cookie"), here);
        let there = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("another namespace (are you root?)");
            current().expect("a cookie")
        });
        assert_ne!(there.join().expect("a thread"), here);
    }
}
