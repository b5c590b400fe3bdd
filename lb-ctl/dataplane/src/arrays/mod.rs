//! Array maps as memory of this process: how they are read and written, and how the daemon keeps
//! a copy of what it wrote.

pub mod kept;
pub mod mapped;
