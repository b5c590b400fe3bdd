//! The house's rules, held: which crate may use which, which module may import what, and that
//! no modules import each other in a circle. Reads manifests and sources; compiles nothing.

mod circles;
mod crates;
mod features;
mod imports;
mod index;
mod modules;
mod tokens;
mod workspace;
