//! The eBPF programs, compiled by the build script and carried in the binary.

/// The director's XDP program and its maps.
pub static DIRECTOR: &[u8] = aya::include_bytes_aligned!(env!("LB_EBPF_OBJECT"));
