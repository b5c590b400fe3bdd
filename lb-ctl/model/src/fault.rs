//! What is wrong with a value.

/// What is wrong with a value, and what to do about it. The message does not say where the value
/// is: whoever reads it knows (a line of a file, an option of a command).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(String);

impl Fault {
    /// With this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
