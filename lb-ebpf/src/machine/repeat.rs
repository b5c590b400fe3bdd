//! Loops whose body the verifier checks once, however often it runs.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use lb_common::schedule::Search;

/// Takes up to `times` steps of a search, until one says that it is over (Linux 5.17).
#[inline(always)]
pub fn repeat<S: Search>(times: u32, search: &mut S) {
    // SAFETY: the kernel calls `step` with this pointer only, and only until it returns.
    unsafe {
        bpf_loop(
            times,
            step::<S> as *mut c_void,
            core::ptr::from_mut(search).cast(),
            0,
        );
    }
}

extern "C" fn step<S: Search>(number: u32, search: *mut c_void) -> i64 {
    // SAFETY: see `repeat`.
    let search = unsafe { &mut *search.cast::<S>() };
    i64::from(search.step(number))
}
