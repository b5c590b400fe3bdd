//! The ways to clients of NAT services: their next hops' MAC addresses are kept fresh, as those of
//! servers are. The packet path notes which next hops there are; a change that the kernel then
//! announces makes replies look up their way again.

mod turns;

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use anyhow::Result;
use lb_dataplane::Dataplane;
use lb_network::Routing;
use tokio::sync::mpsc;

use self::turns::{Due, Hop, Turns};

/// What is known of the next hops.
pub struct Clients {
    routing: Arc<Routing>,
    turns: Turns,
    answers: mpsc::UnboundedReceiver<Answer>,
    answer: mpsc::UnboundedSender<Answer>,
}

/// Whether a hop has answered, if the kernel knows.
type Answer = (Hop, Option<bool>);

impl Clients {
    /// None is known yet.
    pub fn new(routing: Arc<Routing>) -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        Self {
            routing,
            turns: Turns::default(),
            answers,
            answer,
        }
    }

    /// Has those asked whose turn it is. Gives the interfaces that they are behind, by index. To be
    /// called every second.
    pub fn refresh(&mut self, dataplane: &mut Dataplane) -> Result<BTreeSet<u32>> {
        let now = Instant::now();
        while let Ok((hop, answered)) = self.answers.try_recv() {
            if self.turns.hear(hop, answered, now) {
                dataplane.forget_client_hop(hop.0, hop.1)?;
            }
        }
        let noted = dataplane.client_hops()?;
        let interfaces = noted.iter().map(|&(interface, _)| interface).collect();
        self.turns.note(noted, now);
        let due = self.turns.due(now);
        if due != Due::default() {
            tokio::spawn(ask(Arc::clone(&self.routing), due, self.answer.clone()));
        }
        Ok(interfaces)
    }
}

async fn ask(routing: Arc<Routing>, due: Due, answers: mpsc::UnboundedSender<Answer>) {
    for (hops, by_arp) in [(due.ask, true), (due.look_up, false)] {
        for hop in hops {
            let answered = match by_arp {
                true => routing.refresh_hop(hop.0, hop.1).await,
                false => routing.has_answered(hop.0, hop.1).await,
            };
            let answered = answered.unwrap_or_else(|error| {
                tracing::debug!("cannot probe {}: {error:#}", hop.1);
                None
            });
            // The daemon closes the channel when it ends.
            let _ = answers.send((hop, answered));
        }
    }
}
