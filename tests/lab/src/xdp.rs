//! XDP programs that give every packet the same verdict.
//!
//! When one end of a veth pair sends frames by `XDP_TX`, the other end delivers them at once only
//! if it has an XDP program itself. With GRO alone, they wait for the next ordinary packet
//! (`veth_xdp_flush`, Linux 6.18). So the switch's end of a director's cable needs a program that
//! passes everything.

use std::{
    ffi::CString,
    fs, mem,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
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
        opened(bpf(BPF_LINK_CREATE, &attributes)?)
    });
    let link = link.with_context(|| format!("attach to {interface} in {}", namespace.name()))?;
    Ok(Attached { _link: link })
}

/// A program that other tools find by a path. Dropping the value removes the path.
#[derive(Debug)]
pub struct Pinned {
    folder: PathBuf,
}

impl Pinned {
    /// The path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join("program")
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Loads a program that gives every packet this verdict, and pins it in a new folder of a bpffs.
pub fn pin(verdict: Verdict, folder: PathBuf) -> Result<Pinned> {
    let program = load(verdict).context("load an XDP program")?;
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let pinned = Pinned { folder };
    let path = pinned.path();
    let name = CString::new(path.as_os_str().as_bytes())?;
    let attributes = ObjectPin {
        path: name.as_ptr().addr() as u64,
        object: program.as_raw_fd(),
        flags: 0,
    };
    bpf(BPF_OBJ_PIN, &attributes).with_context(|| format!("pin at {}", path.display()))?;
    Ok(pinned)
}

// linux/bpf.h, linux/if_link.h
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_OBJ_PIN: libc::c_int = 6;
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

/// The beginning of `union bpf_attr` for `BPF_OBJ_PIN`.
#[repr(C)]
struct ObjectPin {
    path: u64,
    object: libc::c_int,
    flags: u32,
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
    opened(bpf(
        BPF_PROG_LOAD,
        &ProgramLoad {
            kind: BPF_PROG_TYPE_XDP,
            instruction_count: 2,
            instructions: instructions.as_ptr().addr() as u64,
            license: license.as_ptr().addr() as u64,
        },
    )?)
}

/// Owns the new descriptor that a command has returned.
fn opened(descriptor: libc::c_long) -> Result<OwnedFd> {
    let descriptor = descriptor.try_into()?;
    // SAFETY: only results of commands that return a new descriptor, which nothing else owns, are
    // given to this function.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn bpf<A>(command: libc::c_int, attributes: &A) -> Result<libc::c_long> {
    // SAFETY: the attributes are those of the command. They and what they point to live until the
    // call returns. The kernel takes the missing rest of `union bpf_attr` as zeroes.
    let result = unsafe {
        let size = mem::size_of::<A>();
        libc::syscall(libc::SYS_bpf, command, attributes as *const A, size)
    };
    Ok(Errno::result(result)?)
}
