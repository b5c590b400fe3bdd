//! The ways to clients of NAT services: their next hops' MAC addresses are kept fresh, as those of
//! servers are. The packet path notes which next hops there are; a change that the kernel then
//! announces makes replies look up their way again.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use lb_dataplane::Dataplane;
use lb_network::Routing;
use tokio::sync::mpsc;

/// A next hop is asked so often, if there are not too many.
const EVERY: Duration = Duration::from_secs(5);
/// One that does not answer, so often.
const SILENT: Duration = Duration::from_secs(1);
/// How many are asked in a second.
const MOST: usize = 10;
/// One that has not answered so often is forgotten.
const GIVEN_UP: u32 = 60;

type Hop = (u32, Ipv4Addr);

/// What is known of the next hops.
pub struct Clients {
    routing: Arc<Routing>,
    hops: HashMap<Hop, Known>,
    /// In the order in which they have their turn.
    turns: VecDeque<Hop>,
    answers: mpsc::UnboundedReceiver<(Hop, bool)>,
    answer: mpsc::UnboundedSender<(Hop, bool)>,
}

#[derive(Default)]
struct Known {
    asked: Option<Instant>,
    /// How often in a row it did not answer.
    silent: u32,
}

impl Known {
    fn is_due(&self, now: Instant) -> bool {
        let every = if self.silent > 0 { SILENT } else { EVERY };
        self.asked.is_none_or(|asked| now - asked >= every)
    }
}

impl Clients {
    /// None is known yet.
    pub fn new(routing: Arc<Routing>) -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        Self {
            routing,
            hops: HashMap::new(),
            turns: VecDeque::new(),
            answers,
            answer,
        }
    }

    /// Has those asked whose turn it is. To be called every second.
    pub fn refresh(&mut self, dataplane: &mut Dataplane) -> Result<()> {
        while let Ok((hop, answered)) = self.answers.try_recv() {
            let Some(known) = self.hops.get_mut(&hop) else {
                continue;
            };
            known.silent = if answered { 0 } else { known.silent + 1 };
            if known.silent >= GIVEN_UP {
                dataplane.forget_client_hop(hop.0, hop.1)?;
            }
        }
        let there = dataplane.client_hops()?;
        self.hops.retain(|hop, _| there.contains(hop));
        for hop in there {
            if let Entry::Vacant(new) = self.hops.entry(hop) {
                new.insert(Known::default());
                // New ones first: replies wait for them.
                self.turns.push_front(hop);
            }
        }
        self.turns.retain(|hop| self.hops.contains_key(hop));
        let now = Instant::now();
        let is_due = |hop: &&Hop| self.hops.get(hop).is_some_and(|known| known.is_due(now));
        let due: Vec<Hop> = self
            .turns
            .iter()
            .filter(is_due)
            .take(MOST)
            .copied()
            .collect();
        self.turns.retain(|hop| !due.contains(hop));
        self.turns.extend(&due);
        for hop in &due {
            if let Some(known) = self.hops.get_mut(hop) {
                known.asked = Some(now);
            }
        }
        if !due.is_empty() {
            tokio::spawn(ask(Arc::clone(&self.routing), due, self.answer.clone()));
        }
        Ok(())
    }
}

async fn ask(routing: Arc<Routing>, hops: Vec<Hop>, answers: mpsc::UnboundedSender<(Hop, bool)>) {
    for hop in hops {
        let answered = routing.refresh_hop(hop.0, hop.1).await;
        let answered = answered.unwrap_or_else(|error| {
            tracing::debug!("cannot probe {}: {error:#}", hop.1);
            false
        });
        // The daemon closes the channel when it ends.
        let _ = answers.send((hop, answered));
    }
}
