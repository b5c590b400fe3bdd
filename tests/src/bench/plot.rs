//! Plots.

/// A picture.
pub struct Plot {
    /// Of the file, without extension.
    pub name: &'static str,
    /// The picture.
    pub svg: String,
}

impl Plot {
    /// Relative to the document.
    #[must_use]
    pub fn path(&self) -> String {
        format!("performance/{}.svg", self.name)
    }
}
