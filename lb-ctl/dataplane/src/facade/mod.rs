//! What the director asks of a [`Dataplane`](crate::Dataplane), a file for each subject.

mod audit;
mod connections;
mod counts;
mod interfaces;
mod services;

pub use self::connections::Swept;
