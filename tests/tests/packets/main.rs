//! What the data plane does to packets: every frame here goes through the real program in
//! the real kernel, and what comes out is compared with what etherparse would have written.
//!
//! One file for each question. Needs root.

mod budget;
mod capacity;
mod counts;
mod direct;
mod drops;
mod flood;
mod hostile;
mod icmp;
mod interfaces;
mod local;
mod loops;
mod nat;
mod openers;
mod reuse;
mod schedulers;
mod states;
mod strategies;
mod support;
mod tunnel;
mod twins;
mod untouched;
mod verdicts;
