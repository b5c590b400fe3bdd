//! Commands of bpf(2) that aya does not offer.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

// Commands, `include/uapi/linux/bpf.h`.
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
/// Since Linux 5.6.
const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;
/// Since Linux 5.8.
const BPF_LINK_GET_FD_BY_ID: libc::c_int = 30;
/// Since Linux 5.8.
const BPF_LINK_GET_NEXT_ID: libc::c_int = 31;
/// Since Linux 5.9.
const BPF_LINK_DETACH: libc::c_int = 34;

#[repr(C)]
struct Object {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Opens what is pinned.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    let pathname = CString::new(path.as_os_str().as_bytes())?;
    let get = Object {
        pathname: pathname.as_ptr() as u64,
        bpf_fd: 0,
        file_flags: 0,
    };
    let fd = bpf(BPF_OBJ_GET, &get)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Pins a map, a program or a link.
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let pathname = CString::new(path.as_os_str().as_bytes())?;
    let pin = Object {
        pathname: pathname.as_ptr() as u64,
        bpf_fd: object.as_raw_fd() as u32,
        file_flags: 0,
    };
    bpf(BPF_OBJ_PIN, &pin).map(drop)
}

/// Ends a link at once. aya only closes its descriptor: the kernel would end the link some time
/// later, and handle packets until then.
pub fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Detach {
        link_fd: u32,
    }
    let detach = Detach {
        link_fd: link.as_raw_fd() as u32,
    };
    bpf(BPF_LINK_DETACH, &detach).map(drop)
}

/// For the two commands below.
#[repr(C)]
struct Number {
    id: u32,
    next: u32,
    flags: u32,
}

/// The number of the link after another one; the first for 0. An error if there is none.
pub fn next_link(id: u32) -> io::Result<u32> {
    let mut number = Number {
        id,
        next: 0,
        flags: 0,
    };
    // The kernel writes the next number into the attributes.
    bpf(BPF_LINK_GET_NEXT_ID, &raw mut number)?;
    Ok(number.next)
}

/// Opens a link by its number.
pub fn link_by_id(id: u32) -> io::Result<OwnedFd> {
    let number = Number {
        id,
        next: 0,
        flags: 0,
    };
    let fd = bpf(BPF_LINK_GET_FD_BY_ID, &number)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// What the kernel says of a link to an interface (`struct bpf_link_info`).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Link {
    kind: u32,
    /// Its number.
    pub id: u32,
    /// The number of its program.
    pub program: u32,
    _pad: u32,
    /// The interface's index; 0 when it is gone, or when the link was detached.
    pub interface: u32,
    _rest: [u32; 11],
}

impl Link {
    /// True if it is a link of an XDP program (`BPF_LINK_TYPE_XDP`): others have no interface.
    pub fn is_xdp(self) -> bool {
        self.kind == 6
    }
}

/// Looks at a link.
pub fn look_at(link: BorrowedFd<'_>) -> io::Result<Link> {
    #[repr(C)]
    struct Info {
        bpf_fd: u32,
        length: u32,
        info: u64,
    }
    let mut found = Link::default();
    let question = Info {
        bpf_fd: link.as_raw_fd() as u32,
        length: size_of::<Link>() as u32,
        info: (&raw mut found) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &question)?;
    Ok(found)
}

/// Reads the part of a hash map that begins at `cursor`, and moves that on. It is `None` at the
/// beginning, and again at the end. `entries` must have room for any one bucket.
pub fn read_hash<K: Copy + Default, V: Copy + Default>(
    map: BorrowedFd<'_>,
    cursor: &mut Option<u32>,
    entries: &mut [(K, V)],
) -> io::Result<usize> {
    #[repr(C)]
    struct Batch {
        in_batch: u64,
        out_batch: u64,
        keys: u64,
        values: u64,
        count: u32,
        map_fd: u32,
        elem_flags: u64,
        flags: u64,
    }
    let from = cursor.unwrap_or_default();
    let mut next = 0u32;
    let mut keys = vec![K::default(); entries.len()];
    let mut values = vec![V::default(); entries.len()];
    let mut batch = Batch {
        in_batch: cursor.map_or(0, |_| (&raw const from) as u64),
        out_batch: (&raw mut next) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: entries.len() as u32,
        map_fd: map.as_raw_fd() as u32,
        elem_flags: 0,
        flags: 0,
    };
    // The kernel writes the count into the attributes.
    match bpf(BPF_MAP_LOOKUP_BATCH, &raw mut batch) {
        Ok(_) => *cursor = Some(next),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => *cursor = None,
        Err(error) => {
            *cursor = None;
            return Err(error);
        }
    }
    let count = (batch.count as usize).min(entries.len());
    for (entry, (key, value)) in entries.iter_mut().zip(keys.into_iter().zip(values)) {
        *entry = (key, value);
    }
    Ok(count)
}

fn bpf<T>(command: libc::c_int, attributes: *const T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are laid out as the command wants them and live as long as the
    // call; the kernel takes the rest of its union as zero.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
