//! Sweeping the connection table for the daemon.

use core::mem::offset_of;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use lb_common::table::sweep::{Order, Sweep};

use crate::{
    connection::table::Connections,
    frame::{Field, Packet},
    machine::clock,
};

const FIRST: Field<Order, u32> = Field::at(offset_of!(Order, first));
const SLOTS: Field<Order, u32> = Field::at(offset_of!(Order, slots));
const RECOUNT: Field<Order, u32> = Field::at(offset_of!(Order, recount));

/// Does what the [`Order`] in the frame says; returns the number of connections ended. The daemon
/// runs it by `BPF_PROG_TEST_RUN`. Never attached.
#[xdp]
pub fn sweep(context: XdpContext) -> u32 {
    let Some(order) = Packet::of(&context).at::<Order>(0) else {
        return xdp_action::XDP_ABORTED;
    };
    let order = Order {
        first: order.get(FIRST),
        slots: order.get(SLOTS),
        recount: order.get(RECOUNT),
    };
    let mut sweep = Sweep::new(Connections, order, clock::now());
    sweep.run();
    sweep.ended
}
