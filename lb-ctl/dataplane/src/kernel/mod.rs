//! What the kernel offers and no library of ours gives.

pub mod bpffs;
pub mod btf;
pub mod clock;
pub mod interface;
pub mod namespace;
pub mod rejection;
pub mod syscall;
pub mod xdp;
