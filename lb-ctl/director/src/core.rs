//! The core of the daemon: events in, orders out. It does no I/O, waits for nothing and reads no
//! clock, so that a test can drive it through any order of events.
//!
//! One work is carried out at a time. A request is carried out as soon as something is known of
//! the addresses of all its servers; until then, others overtake it, unless they may touch the
//! same.
//!
//! Here it is said what is done when. What each step is, is below:
//! - `event`, `order` (and `orders`, `told`): what comes in, and what goes out
//! - `state`: what is desired (`lb_model`), what is known (`network`, `reaches`), and the works
//!   that follow from both (`effective`)
//! - `probing`: when next hops are asked by ARP whether they are still there
//! - `task`: what waits; its parts are `changes`, `adopted`, `addresses`, and what it may touch
//!   (`scope`)
//! - `edit`, `file`, `start`: the three kinds of tasks that change what is desired
//! - `machine`: what is refused because of this machine
//! - `batch`, `outcome`: what is being carried out, and what follows when that has ended
//! - `telling`: what the log says of a change

mod addresses;
mod adopted;
mod batch;
mod changes;
mod edit;
mod effective;
mod event;
mod file;
mod machine;
mod network;
mod order;
mod orders;
mod outcome;
mod probing;
mod reaches;
mod scope;
mod start;
mod state;
mod task;
mod telling;
mod told;

use std::{collections::HashSet, net::IpAddr};

use lb_model::{Desired, Fault, ServiceId};

use self::{
    batch::{Made, Running},
    event::What,
    state::State,
    task::{Task, Todo},
};
pub use self::{
    effective::{Effective, misplaced},
    event::{Ask, By, Event, Start, Token, What as Asked},
    order::{Order, PacketPath, Record, Work},
    reaches::Reaches,
    telling::{TROUBLE, nowhere},
    told::{Level, Told, first},
};
use crate::record::{Files, Recorded};

/// What is desired and what is known, and what is being done about it.
#[derive(Debug, Default)]
pub struct Core {
    state: State,
    /// In the order in which they came.
    waiting: Vec<Task>,
    running: Option<Running>,
    /// The work that puts right what is broken in the packet path.
    repair: Option<u64>,
    /// The work that follows a change of how servers are reached, and the services in it.
    following: Option<(u64, Vec<ServiceId>)>,
}

impl Core {
    /// What is desired.
    #[must_use]
    pub fn desired(&self) -> &Desired {
        &self.state.desired
    }

    /// How servers are reached.
    #[must_use]
    pub fn reaches(&self) -> &Reaches {
        &self.state.network.reaches
    }

    /// The next hops that are to be probed now: see [`Reaches::due`].
    pub fn due(&mut self) -> Vec<IpAddr> {
        self.state.network.reaches.due()
    }

    /// All that a record has to say; nothing while a batch is being carried out.
    #[must_use]
    pub fn recorded(&self) -> Option<Recorded> {
        self.running.is_none().then(|| self.state.recorded())
    }

    /// Takes in an event, and says what is to be done.
    pub fn handle(&mut self, event: Event) -> Vec<Order> {
        let State {
            network,
            orders,
            desired,
            ..
        } = &mut self.state;
        match event {
            Event::Started(start) => {
                let task = start::begin(&mut self.state, *start);
                self.queue(task);
            }
            Event::Asked(ask) => self.ask(ask),
            Event::Explored {
                epoch,
                remembered,
                found,
            } => network.explored(epoch, remembered, found, desired, orders),
            Event::Updated(found) => network.updated(found, desired, orders),
            Event::NetworkChanged { answers } => network.changed(answers, orders),
            Event::OwnAddresses(own) => network.own = Some(own),
            Event::Worked { work, outcome } => self.worked(work, outcome),
            Event::Unused(addresses) => self.forget(&addresses),
            Event::Tick => self.repair(),
        }
        self.proceed();
        self.state.orders.take()
    }

    fn ask(&mut self, ask: Ask) {
        if let What::Apply {
            written,
            dry_run: true,
            ..
        } = &ask.what
        {
            let reply = file::dry_run(written, &self.state);
            self.state.orders.reply(ask.token, reply);
            return;
        }
        let task = Task::of(ask, &self.state.desired);
        self.queue(task);
    }

    /// Lets a task wait, and has addresses explored of which nothing is known.
    fn queue(&mut self, task: Task) {
        let State {
            network, orders, ..
        } = &mut self.state;
        network.explore(&task.addresses, orders);
        self.waiting.push(task);
    }

    /// Begins tasks, as long as none is running that has to be waited for.
    fn proceed(&mut self) {
        while !self.is_busy() {
            self.follow();
            if self.is_busy() {
                return;
            }
            let Some(place) = (0..self.waiting.len()).find(|&place| self.is_ready(place)) else {
                return;
            };
            let task = self.waiting.remove(place);
            self.running = begin(&mut self.state, task);
        }
    }

    /// True while a work is being carried out.
    fn is_busy(&self) -> bool {
        self.running.is_some() || self.repair.is_some() || self.following.is_some()
    }

    /// Gives servers that cannot be reached any more no new connections, where that is wanted, and
    /// those that can be reached again their share.
    fn follow(&mut self) {
        let services = self.state.turned();
        if services.is_empty() {
            return;
        }
        let mut work = self.state.work_on(&services);
        work.number = self.state.number + 1;
        self.following = Some((work.number, services));
        self.state.orders.give(Order::Work(work));
    }

    fn is_ready(&self, place: usize) -> bool {
        let (earlier, task) = (&self.waiting[..place], &self.waiting[place]);
        let known = |address: &IpAddr| self.state.network.reaches.knows(*address);
        earlier
            .iter()
            .all(|earlier| !earlier.scope.meets(&task.scope))
            && task.addresses.iter().all(known)
    }

    fn worked(&mut self, work: u64, outcome: Result<(), Fault>) {
        if self.repair == Some(work) {
            self.repair = None;
            if outcome.is_ok() {
                self.state.broken = None;
                let line = "the packet path matches the configuration again".to_owned();
                self.state.orders.say(Level::Info, line);
            }
            return;
        }
        if let Some((_, services)) = self.following.take_if(|(number, _)| *number == work) {
            if let Err(fault) = outcome {
                let broken = self.state.broken.get_or_insert_default();
                broken.extend(services);
                let line = format!("the packet path does not do what is desired: {fault}");
                self.state.orders.say(Level::Error, line);
            }
            return;
        }
        let running = self.running.take_if(|running| running.batch.number == work);
        if let Some(running) = running {
            self.running = outcome::of(&mut self.state, running, outcome);
        }
    }

    /// Tries again to make the packet path do what is desired.
    fn repair(&mut self) {
        let Some(broken) = &self.state.broken else {
            return;
        };
        if self.is_busy() {
            return;
        }
        let mut work = self.state.whole_work(broken.iter());
        // No batch has this number yet.
        work.number = self.state.number + 1;
        self.repair = Some(work.number);
        self.state.orders.give(Order::Work(work));
    }

    /// Forgets how addresses are reached, unless somebody still needs it.
    fn forget(&mut self, unused: &[IpAddr]) {
        if unused.is_empty() {
            return;
        }
        let running = self.running.iter().map(|running| &running.task);
        let tasks = self.waiting.iter().chain(running);
        let mut needed: HashSet<IpAddr> = tasks.flat_map(|task| &task.addresses).copied().collect();
        needed.extend(addresses::desired(&self.state.desired));
        for address in unused {
            if !needed.contains(address) {
                self.state.network.reaches.forget(*address);
            }
        }
    }
}

/// Begins a task. Gives what runs then; nothing if it is answered already.
fn begin(state: &mut State, task: Task) -> Option<Running> {
    match &task.todo {
        Todo::Changes(_) => edit::next(state, task),
        Todo::File { .. } => file::begin(state, task, Vec::new()),
        Todo::Saved(written) => {
            let files = Files {
                own: written.clone(),
                ..state.files.clone()
            };
            let made = Made {
                files: Some(files),
                ..Made::default()
            };
            Some(batch::begin(state, task, made))
        }
    }
}
