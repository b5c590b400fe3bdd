//! All pointer arithmetic on packets.

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
    programs::XdpContext,
};

use crate::verifier;

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

    /// The same, for a subprogram that was given it: else the compiler would have its callers
    /// read the context, and pass what it says as numbers, which the verifier refuses.
    #[inline(always)]
    pub fn in_subprogram(self) -> Self {
        let context = verifier::same(self.context as usize) as *mut xdp_md;
        Self { context }
    }

    /// The header that begins `offset` bytes into the frame, where all of it is there. The
    /// offset is known to the compiler; see [`Packet::behind`] for others.
    ///
    /// Access through the pointer needs no alignment: BPF has none for packets wherever the
    /// CPU has none. It is valid until the start of the frame moves.
    #[inline(always)]
    pub fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let header = self.start() + offset;
        if header + size_of::<T>() > self.end() {
            return None;
        }
        Some(header as *mut T)
    }

    /// Likewise for an offset that only the packet knows; it must have an upper bound that
    /// the verifier can see.
    #[inline(always)]
    pub fn behind<T>(&self, offset: usize) -> Option<*mut T> {
        self.whole((self.start() + offset) as *mut u8)
    }

    /// Likewise for a pointer into the packet, of which the verifier may have forgotten how much
    /// is there.
    #[inline(always)]
    pub fn whole<T>(&self, header: *mut u8) -> Option<*mut T> {
        let header = verifier::same(header as usize);
        if header + size_of::<T>() > self.end() {
            return None;
        }
        Some(header as *mut T)
    }

    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: the context is valid for the whole run.
        unsafe { (*self.context).data as usize }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.context).data_end as usize }
    }

    /// Bytes in the frame.
    #[inline(always)]
    pub fn length(&self) -> usize {
        self.end() - self.start()
    }

    /// Index of the interface that the packet came in by.
    #[inline(always)]
    pub fn interface(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.context).ingress_ifindex }
    }

    /// Moves the start of the frame forward (negative: `-20` makes room for 20 bytes). All
    /// pointers into the packet are void afterwards. False where there is no room.
    #[inline(always)]
    pub fn move_start(&self, by: i32) -> bool {
        // SAFETY: as above; the kernel checks the room.
        unsafe { bpf_xdp_adjust_head(self.context, by) == 0 }
    }

    /// Moves the end of the frame (negative: cuts bytes off). All pointers into the packet are
    /// void afterwards. False where that is not possible.
    #[inline(always)]
    pub fn move_end(&self, by: i32) -> bool {
        // SAFETY: as for `move_start`.
        unsafe { bpf_xdp_adjust_tail(self.context, by) == 0 }
    }

    /// For helpers that want the bare context.
    #[inline(always)]
    pub fn context(&self) -> *mut xdp_md {
        self.context
    }
}
