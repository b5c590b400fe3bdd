//! The orders that an event leads to, in the order in which they are given.

use std::mem;

use lb_api::Reply;

use super::{
    event::{By, Token},
    order::Order,
    told::{Level, Told},
};

/// Orders that were given and not taken yet.
#[derive(Debug, Default)]
pub struct Orders(Vec<Order>);

impl Orders {
    /// One more.
    pub fn give(&mut self, order: Order) {
        self.0.push(order);
    }

    /// All of them; none are left.
    pub fn take(&mut self) -> Vec<Order> {
        mem::take(&mut self.0)
    }

    /// Answers a request.
    pub fn reply(&mut self, token: Token, reply: Reply) {
        self.give(Order::Reply(token, reply));
    }

    /// Answers a request of which something may not have been done: servers that it would have
    /// brought are forgotten.
    pub fn forget_and_reply(&mut self, token: Token, reply: Reply) {
        self.give(Order::Forget);
        self.reply(token, reply);
    }

    /// Logs lines.
    pub fn tell(&mut self, told: impl IntoIterator<Item = Told>) {
        self.0.extend(told.into_iter().map(Order::Tell));
    }

    /// Logs a line that nobody asked for.
    pub fn say(&mut self, level: Level, line: String) {
        self.tell(Told::lines(level, vec![line]));
    }

    /// Logs a line about what somebody asked for.
    pub fn say_by(&mut self, level: Level, line: String, by: &By) {
        self.tell([Told {
            level,
            lines: vec![line],
            by: Some(by.clone()),
            about: None,
        }]);
    }
}
