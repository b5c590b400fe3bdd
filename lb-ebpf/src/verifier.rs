//! Where the compiler knows more than the verifier, and would leave out what the verifier
//! needs to see.

use core::arch::asm;

/// The lower four bits, by an instruction that the compiler cannot optimise away: it may know
/// the range of a value already, but the verifier has forgotten it.
#[inline(always)]
pub fn low_nibble(value: u8) -> usize {
    let mut value = usize::from(value);
    // SAFETY: arithmetic on a register.
    unsafe { asm!("{0} &= 15", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// The same pointer, though the compiler does not know it: the verifier accepts a check of
/// the very pointer that is used later, while the compiler would rather check an equal one.
#[inline(always)]
pub fn same(mut pointer: usize) -> usize {
    // SAFETY: a move from a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// The number without its upper bits, at the upper end: 0 where they are all that it has. The
/// compiler would rather mask them, which takes an instruction more.
#[inline(always)]
pub fn without_upper<const BITS: u32>(mut value: u64) -> u64 {
    // SAFETY: arithmetic on a register.
    unsafe {
        asm!("{0} <<= {1}", inout(reg) value, const BITS, options(nomem, nostack, preserves_flags));
    }
    value
}

/// The same number, of which the compiler knows nothing: arithmetic with it stays arithmetic,
/// where it could be made a branch.
#[inline(always)]
pub fn opaque(mut value: u64) -> u64 {
    // SAFETY: a move from a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}
