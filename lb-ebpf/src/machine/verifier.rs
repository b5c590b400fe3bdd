//! What keeps the optimiser from removing what the verifier needs to see.

use core::arch::asm;

/// The lower seven bits, by an instruction that the optimiser cannot remove: it may know the range
/// of a value that the verifier has forgotten.
#[inline(always)]
pub fn seven_bits(value: u8) -> usize {
    let mut value = usize::from(value);
    // SAFETY: arithmetic on a register.
    unsafe { asm!("{0} &= 127", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// The same pointer, hidden from the optimiser. The verifier accepts a bounds check only of the
/// register that is used later; the optimiser may check another one that is equal.
#[inline(always)]
pub fn same(mut pointer: usize) -> usize {
    // SAFETY: a move from a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// Shifts the upper bits out: 0 if all others are 0. The optimiser would mask them, which takes
/// one instruction more.
#[inline(always)]
pub fn without_upper<const BITS: u32>(mut value: u64) -> u64 {
    // SAFETY: arithmetic on a register.
    unsafe {
        asm!("{0} <<= {1}", inout(reg) value, const BITS, options(nomem, nostack, preserves_flags));
    }
    value
}

/// The same number, hidden from the optimiser, which could otherwise turn arithmetic into a branch;
/// the verifier would check what follows it twice.
#[inline(always)]
pub fn opaque(mut value: u64) -> u64 {
    // SAFETY: a move from a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}
