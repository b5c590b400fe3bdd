//! A start that fails leaves nothing behind.

use super::{pins::Pins, take_down::take_down};

/// Takes a new packet path down when it is dropped, unless it was [kept](Self::keep).
///
/// It is dropped last, when all maps and links are closed. To remove pins, files have to be opened,
/// and that there were too many open ones may be why the start failed.
pub struct Unfinished {
    pins: Option<Pins>,
}

impl Unfinished {
    /// Nothing is to be done for one that was adopted: it was there before.
    pub fn new(pins: Pins, adopted: bool) -> Self {
        Self {
            pins: (!adopted).then_some(pins),
        }
    }

    /// It stays.
    pub fn keep(&mut self) {
        self.pins = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(pins) = &self.pins else {
            return;
        };
        match take_down(pins) {
            Ok(_) => tracing::info!("the start failed: what it had made is removed again"),
            Err(error) => tracing::error!(
                "the start failed, and what it had made at {} cannot be removed ({error:#}): \
                 remove it with `lb-ctl detach`",
                pins.map("").display()
            ),
        }
    }
}
