//! The settings, in the map of that name: what may change while the program runs.

use anyhow::Result;
use lb_common::layout;
use lb_model::Timeouts;

use crate::{
    arrays::{kept::Kept, mapped::Mapped},
    audit,
    crash::{self, Step},
    encode,
};

/// The settings.
pub struct Settings(Kept<layout::Settings>);

impl Settings {
    /// Takes what is there.
    pub fn new(settings: Mapped<layout::Settings>) -> Result<Self> {
        Kept::adopt(settings).map(Self)
    }

    /// As they should be.
    pub fn get(&self) -> layout::Settings {
        self.0.read(0).unwrap_or_default()
    }

    /// Writes those that a new packet path begins with. The layout's version comes last: it says
    /// that all the rest is there.
    pub fn begin(&self, settings: layout::Settings) {
        let layout = 0;
        self.0.write(0, layout::Settings { layout, ..settings });
        crash::after(Step::SettingsWritten);
        self.0.write(0, settings);
        crash::after(Step::LayoutWritten);
    }

    /// Takes in what the program `clock` has written into the map.
    pub fn read_clock(&self) {
        if let Some(settings) = self.0.map().read(0) {
            self.0.write(0, settings);
        }
    }

    /// Sets the timeouts of connections.
    pub fn set_timeouts(&self, timeouts: &Timeouts) {
        let wanted = encode::timeouts_in_ticks(timeouts, self.get().hz);
        if self.get().timeouts != wanted {
            self.change(|settings| settings.timeouts = wanted);
            crash::after(Step::TimeoutsWritten);
        }
    }

    /// Begins a new epoch of routes: connections look up their next hops anew.
    pub fn next_epoch(&self) {
        self.change(|settings| settings.route_epoch = settings.route_epoch.wrapping_add(1));
        crash::after(Step::EpochWritten);
    }

    /// Repairs what somebody else has changed; says so.
    pub fn repair(&self) -> Option<String> {
        let changed = self.0.repair(0..1);
        (!changed.is_empty()).then(|| "the settings were changed in the map `settings`".to_owned())
    }

    /// Writes the settings. What somebody else wrote is told before it is overwritten.
    fn change(&self, change: impl FnOnce(&mut layout::Settings)) {
        audit::tell(self.repair().as_slice());
        let mut settings = self.get();
        change(&mut settings);
        self.0.write(0, settings);
    }
}
