//! The upper half goes and comes back.

use nix::sys::signal::Signal;

use crate::field::Field;

#[test]
fn nobody_notices_that_the_daemon_is_killed_and_started_again() {
    let mut field = Field::new();
    field.check();
    field.director.end(Signal::SIGKILL).unwrap();
    field.load.goes_on().unwrap();
    field.director.run("lb.yaml").unwrap();
    field.check();
}
