//! Detaching a pinned link at once. aya only closes its descriptor, and the kernel then ends
//! the link when it comes to it: packets would be handled for a while longer.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

// Commands of bpf(2), `include/uapi/linux/bpf.h`.
const BPF_OBJ_GET: libc::c_int = 7;
/// Since Linux 5.9.
const BPF_LINK_DETACH: libc::c_int = 34;

#[repr(C)]
struct ObjectGet {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

#[repr(C)]
struct LinkDetach {
    link_fd: u32,
}

/// Detaches the link that is pinned at `path`; the pin stays.
pub fn detach(path: &Path) -> io::Result<()> {
    let pathname = CString::new(path.as_os_str().as_bytes())?;
    let get = ObjectGet {
        pathname: pathname.as_ptr() as u64,
        bpf_fd: 0,
        file_flags: 0,
    };
    let fd = bpf(BPF_OBJ_GET, &get)?;
    // SAFETY: the kernel has just given us this descriptor.
    let link = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let detach = LinkDetach {
        link_fd: link.as_raw_fd() as u32,
    };
    bpf(BPF_LINK_DETACH, &detach).map(drop)
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are laid out as the command wants them, and the kernel takes the
    // rest of its union as zero.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
