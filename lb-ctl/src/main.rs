//! The director: daemon and command.

fn main() {}
