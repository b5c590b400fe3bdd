//! The names that this program is called by.

use std::{ffi::OsStr, path::Path};

/// One of the programs that come with ipvsadm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `ipvsadm`
    Ipvsadm,
    /// `ipvsadm-save`
    Save,
    /// `ipvsadm-restore`
    Restore,
}

impl Program {
    /// The one that the first of a process's arguments names, if it names one.
    #[must_use]
    pub fn called(by: &OsStr) -> Option<Self> {
        match Path::new(by).file_name()?.to_str()? {
            "ipvsadm" => Some(Self::Ipvsadm),
            "ipvsadm-save" => Some(Self::Save),
            "ipvsadm-restore" => Some(Self::Restore),
            _ => None,
        }
    }
}
