//! XDP programs that give every packet the same verdict.
//!
//! When one end of a veth pair sends frames by `XDP_TX`, the other end delivers them at once only
//! if it has an XDP program itself. With GRO alone, they wait for the next ordinary packet
//! (`veth_xdp_flush`, Linux 6.18). So the switch's end of a director's cable needs a program that
//! passes everything.

use std::{
    mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use anyhow::{Context, Result};
use nix::errno::Errno;

use crate::namespace::Namespace;

/// The verdict of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Verdict {
    /// `XDP_PASS`: to the network stack.
    Pass = 2,
    /// `XDP_TX`: out by the interface that it came in by.
    Send = 3,
}

/// A program on an interface. Dropping the value detaches it.
#[derive(Debug)]
pub struct Attached {
    _link: OwnedFd,
}

/// Attaches a program that gives every packet this verdict, in native mode.
pub fn attach(namespace: &Namespace, interface: &str, verdict: Verdict) -> Result<Attached> {
    let program = load(verdict).context("load an XDP program")?;
    attach_program(namespace, interface, program.as_fd())
}

/// Attaches a program to an interface, in native mode.
pub fn attach_program(
    namespace: &Namespace,
    interface: &str,
    program: BorrowedFd<'_>,
) -> Result<Attached> {
    let link = namespace.inside(|| {
        let index = nix::net::if_::if_nametoindex(interface)?;
        let attributes = LinkCreate {
            program: program.as_raw_fd(),
            interface: index,
            attach_type: BPF_XDP,
            flags: XDP_FLAGS_DRV_MODE,
        };
        bpf(BPF_LINK_CREATE, &attributes)
    });
    let link = link.with_context(|| format!("attach to {interface} in {}", namespace.name()))?;
    Ok(Attached { _link: link })
}

// linux/bpf.h, linux/if_link.h
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 4;

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
}

/// The beginning of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    program: libc::c_int,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

fn load(verdict: Verdict) -> Result<OwnedFd> {
    // r0 = verdict; exit
    let instructions = [0xb7 | u64::from(verdict as u32) << 32, 0x95];
    let license = c"MIT";
    bpf(
        BPF_PROG_LOAD,
        &ProgramLoad {
            kind: BPF_PROG_TYPE_XDP,
            instruction_count: 2,
            instructions: instructions.as_ptr().addr() as u64,
            license: license.as_ptr().addr() as u64,
        },
    )
}

fn bpf<A>(command: libc::c_int, attributes: &A) -> Result<OwnedFd> {
    // SAFETY: the attributes are those of the command. They and what they point to live until the
    // call returns. The kernel takes the missing rest of `union bpf_attr` as zeroes.
    let result = unsafe {
        let size = mem::size_of::<A>();
        libc::syscall(libc::SYS_bpf, command, attributes as *const A, size)
    };
    let descriptor = Errno::result(result)?;
    // SAFETY: both commands return a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor.try_into()?) })
}
