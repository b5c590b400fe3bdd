//! Clients that wait for the core's reply.

use std::collections::HashMap;

use lb_api::Reply;
use tokio::sync::oneshot;

use crate::core::Token;

/// Clients that wait for the core's reply.
pub struct Replies {
    waiting: HashMap<Token, oneshot::Sender<Reply>>,
    last: Token,
}

impl Replies {
    /// Nobody waits.
    pub fn new() -> Self {
        Self {
            waiting: HashMap::new(),
            last: Token(0),
        }
    }

    /// One more waits. Gives what the core calls the request.
    pub fn wait(&mut self, reply: oneshot::Sender<Reply>) -> Token {
        self.last = Token(self.last.0 + 1);
        self.waiting.insert(self.last, reply);
        self.last
    }

    /// Answers a request.
    pub fn give(&mut self, token: Token, reply: Reply) {
        if let Some(waiting) = self.waiting.remove(&token) {
            // A client that has gone needs no reply.
            let _ = waiting.send(reply);
        }
    }
}
