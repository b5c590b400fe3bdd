//! Does things again and again while a test does another.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

/// Repeats each of these, in a thread of its own, until `act` has ended. If one of them panics, or
/// `act` does, the others end too, and so does the test.
pub fn while_repeating<T>(
    repeated: &mut [&mut (dyn FnMut() + Send)],
    act: impl FnOnce() -> T,
) -> T {
    let ended = AtomicBool::new(false);
    let ended = &ended;
    thread::scope(|scope| {
        for again in repeated {
            scope.spawn(move || {
                let _end = End(ended);
                while !ended.load(SeqCst) {
                    again();
                }
            });
        }
        let _end = End(ended);
        act()
    })
}

/// Ends all threads when it is dropped, also by a panic. A scope waits for its threads even then.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use anyhow::ensure;

    use super::*;
    use crate::wait::wait_until;

    #[test]
    fn what_is_repeated_ends_with_the_act() {
        let (mut one, mut other) = (0u64, 0u64);
        let result = while_repeating(&mut [&mut || one += 1, &mut || other += 1], || 7);
        assert_eq!(result, 7);
    }

    #[test]
    fn what_is_repeated_ends_when_the_act_panics() {
        let failing = || while_repeating(&mut [&mut || {}, &mut || {}], || panic!("on purpose"));
        let failed = catch_unwind(AssertUnwindSafe(failing));
        let message = failed.unwrap_err();
        assert_eq!(message.downcast_ref(), Some(&"on purpose"));
    }

    #[test]
    fn a_panic_in_what_is_repeated_ends_the_rest_and_fails_the_test() {
        let begun = AtomicBool::new(false);
        let failing = || {
            let mut fail = || {
                begun.store(true, SeqCst);
                panic!("on purpose");
            };
            while_repeating(&mut [&mut fail, &mut || {}], || {
                wait_until("it fails", || {
                    ensure!(begun.load(SeqCst), "not yet");
                    Ok(())
                })
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(failing)).is_err());
    }
}
