//! The eBPF programs, which the build script compiles and the binary carries.

/// The director's XDP program and its maps.
pub static DIRECTOR: &[u8] = aya::include_bytes_aligned!(env!("LB_EBPF_OBJECT"));
