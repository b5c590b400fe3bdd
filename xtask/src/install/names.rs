//! What is installed, by name.

/// The binary.
pub const BINARY: &str = "lb-ctl";
/// Links to it: the binary speaks ipvsadm's language when it is called by one of these names.
pub const LINKS: [&str; 3] = ["ipvsadm", "ipvsadm-save", "ipvsadm-restore"];
