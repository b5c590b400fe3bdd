//! What the model has and the packet path cannot do.

/// A service, a server or an option for which map values have no place.
#[derive(Debug, thiserror::Error)]
#[error("the packet path has no {0}")]
pub struct Unsupported(pub String);
