//! Atomic access to words that several CPUs and the daemon share.
//!
//! The kernel has had it since Linux 5.12 (version 3 of BPF's instruction set), but `core` offers
//! none of it for BPF. Hence inline assembly.

use core::{
    arch::asm,
    ptr::{read_volatile, write_volatile},
};

/// Reads the word.
///
/// # Safety
/// `word` must point to a word of a map.
#[inline(always)]
pub unsafe fn load(word: *const u64) -> u64 {
    // SAFETY: the caller promises it; aligned 64-bit loads are not torn.
    unsafe { read_volatile(word) }
}

/// Writes the lower half of the word (little endian).
///
/// # Safety
/// `word` must point to a word of a map.
#[inline(always)]
pub unsafe fn store_low(word: *mut u64, value: u32) {
    // SAFETY: the caller promises it; aligned 32-bit stores are not torn.
    unsafe { write_volatile(word.cast::<u32>(), value) }
}

/// Replaces `old` by `new`; false where the word was not `old`. A full barrier.
///
/// # Safety
/// `word` must point to a word of a map.
#[inline(always)]
pub unsafe fn compare_exchange(word: *mut u64, old: u64, new: u64) -> bool {
    let seen: u64;
    // SAFETY: the caller promises it; the instruction compares with r0, and leaves the word that
    // it found in r0.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word,
            new = in(reg) new,
            inout("r0") old => seen,
        );
    }
    seen == old
}

/// Replaces the word. A full barrier.
///
/// # Safety
/// `word` must point to a word of a map.
#[inline(always)]
pub unsafe fn exchange(word: *mut u64, new: u64) {
    // SAFETY: the caller promises it.
    unsafe {
        asm!(
            "{new} = xchg_64({word} + 0, {new})",
            word = in(reg) word,
            new = inout(reg) new => _,
        );
    }
}

/// Adds to the word, wrapping.
///
/// # Safety
/// `word` must point to a word of a map.
#[inline(always)]
pub unsafe fn add(word: *mut u64, change: u64) {
    // SAFETY: the caller promises it.
    unsafe {
        asm!(
            "lock *(u64 *)({word} + 0) += {change}",
            word = in(reg) word,
            change = in(reg) change,
        );
    }
}
