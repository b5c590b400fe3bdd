//! The packet in memory. All pointer arithmetic on packets is here, and no other file can do
//! any: what leaves this one is a [`Header`], which gives and takes fields, but no pointer.

use core::marker::PhantomData;

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
    programs::XdpContext,
};

use crate::machine::verifier;

/// An Ethernet frame as the driver hands it over.
#[derive(Clone, Copy)]
pub struct Packet {
    context: *mut xdp_md,
}

impl Packet {
    /// The packet of this run of the program.
    #[inline(always)]
    pub fn of(context: &XdpContext) -> Self {
        Self {
            context: context.ctx,
        }
    }

    /// The same packet, in a subprogram that was given it. Without this, the compiler has the
    /// callers read the start and the end of the packet and pass them as numbers, which the
    /// verifier does not take for pointers.
    #[inline(always)]
    pub fn in_subprogram(self) -> Self {
        let context = verifier::same(self.context as usize) as *mut xdp_md;
        Self { context }
    }

    /// The header that begins `offset` bytes into the frame, if all of it is there. The offset
    /// is a constant; for others see [`Packet::behind`].
    #[inline(always)]
    pub fn at<T>(self, offset: usize) -> Option<Header<T>> {
        let header = self.start() + offset;
        if header + size_of::<T>() > self.end() {
            return None;
        }
        Some(Header::at(header))
    }

    /// The same for an offset that the packet determines. The verifier must see an upper bound
    /// of it.
    #[inline(always)]
    pub fn behind<T>(self, offset: usize) -> Option<Header<T>> {
        self.whole(self.start() + offset)
    }

    /// A part of a header or of what follows it, `offset` bytes after its start, if all of it is
    /// in the frame. The verifier does not always remember how much of the frame has been
    /// checked.
    #[inline(always)]
    pub fn part<T, U>(self, header: Header<T>, offset: usize) -> Option<Header<U>> {
        self.whole(header.address as usize + offset)
    }

    #[inline(always)]
    fn whole<T>(self, address: usize) -> Option<Header<T>> {
        let address = verifier::same(address);
        if address + size_of::<T>() > self.end() {
            return None;
        }
        Some(Header::at(address))
    }

    #[inline(always)]
    fn start(self) -> usize {
        // SAFETY: the context is valid for the whole run.
        unsafe { (*self.context).data as usize }
    }

    #[inline(always)]
    fn end(self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.context).data_end as usize }
    }

    /// Bytes in the frame.
    #[inline(always)]
    pub fn length(self) -> usize {
        self.end() - self.start()
    }

    /// Index of the interface that received the packet.
    #[inline(always)]
    pub fn interface(self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.context).ingress_ifindex }
    }

    /// Moves the start of the frame forward (negative: `-20` makes room for 20 bytes). All
    /// headers are void afterwards. False if there is no room.
    #[inline(always)]
    pub fn move_start(self, by: i32) -> bool {
        // SAFETY: as above; the kernel checks the room.
        unsafe { bpf_xdp_adjust_head(self.context, by) == 0 }
    }

    /// Moves the end of the frame (negative: cuts bytes off). All headers are void afterwards.
    /// False if that is not possible.
    #[inline(always)]
    pub fn move_end(self, by: i32) -> bool {
        // SAFETY: as for `move_start`.
        unsafe { bpf_xdp_adjust_tail(self.context, by) == 0 }
    }

    /// For helpers that take the bare context.
    #[inline(always)]
    pub fn context(self) -> *mut xdp_md {
        self.context
    }
}

/// A header of type `T` that is wholly in the frame. It is void when the start or the end of
/// the frame moves: the verifier refuses a program that uses it then.
pub struct Header<T> {
    address: *mut T,
}

impl<T> Clone for Header<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Header<T> {}

impl<T> Header<T> {
    #[inline(always)]
    fn at(address: usize) -> Self {
        Self {
            address: address as *mut T,
        }
    }

    /// Reads a field, in one instruction, as on the wire.
    #[inline(always)]
    pub fn get<F: Word>(self, field: Field<T, F>) -> F {
        // SAFETY: the field lies in the header. BPF has no alignment for packets on CPUs that
        // have none.
        unsafe { *self.inner(field).address }
    }

    /// Writes a field, in one instruction, as on the wire.
    #[inline(always)]
    pub fn set<F: Word>(self, field: Field<T, F>, value: F) {
        // SAFETY: as above.
        unsafe { *self.inner(field).address = value }
    }

    /// A header within this one.
    #[inline(always)]
    pub fn inner<U>(self, field: Field<T, U>) -> Header<U> {
        Header {
            // SAFETY: the field lies in the header.
            address: unsafe { self.address.byte_add(field.offset) }.cast(),
        }
    }
}

impl<F: Word> Header<F> {
    /// Reads a header that is one number, as on the wire.
    #[inline(always)]
    pub fn value(self) -> F {
        // SAFETY: as above.
        unsafe { *self.address }
    }
}

/// Where in a header of type `T` there is an `F`. That may be several fields of the protocol
/// which are read or written as one.
pub struct Field<T, F> {
    offset: usize,
    _types: PhantomData<(T, F)>,
}

impl<T, F> Clone for Field<T, F> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, F> Copy for Field<T, F> {}

impl<T, F> Field<T, F> {
    /// `offset` bytes from the header's start; constants of this type that reach beyond the
    /// header do not compile.
    pub const fn at(offset: usize) -> Self {
        assert!(offset + size_of::<F>() <= size_of::<T>());
        Self {
            offset,
            _types: PhantomData,
        }
    }
}

/// What a CPU reads in one instruction.
pub trait Word: Copy {}

impl Word for u8 {}
impl Word for u16 {}
impl Word for u32 {}
impl Word for u64 {}
