//! The core of the daemon: events in, orders out. It does no I/O, waits for nothing and reads no
//! clock, so that a test can drive it through any order of events.
//!
//! One work is carried out at a time. A request is carried out as soon as something is known of
//! the addresses of all its servers; until then, others overtake it, unless they may touch the
//! same.

mod effective;
mod event;
mod order;
mod reaches;
mod scope;
mod task;
mod telling;
mod told;

use std::{collections::HashSet, mem, net::IpAddr, ops::Range};

use lb_api::Reply;
use lb_model::{Change, Desired, Fault, Service, ServiceId, Undo, difference, merge::Written};

pub use self::{
    effective::Effective,
    event::{Ask, By, Event, Start, Token, What as Asked},
    order::{Order, PacketPath, Record, Work},
    reaches::Reaches,
    told::{Level, Told},
};
use self::{
    event::What,
    scope::{Part, Scope},
    task::{Batch, Changes, FromStart, Task, Todo, Way},
    telling::Edited,
};
use crate::record::{Doubt, Files, Line, Recorded};

/// What is desired and what is known, and what is being done about it.
#[derive(Debug, Default)]
pub struct Core {
    desired: Desired,
    files: Files,
    reaches: Reaches,
    /// How often the network has changed. What was asked in an earlier epoch may be out of date.
    epoch: u64,
    /// Addresses that are being explored.
    exploring: HashSet<IpAddr>,
    updating: Updating,
    /// In the order in which they came.
    waiting: Vec<Task>,
    running: Option<(Task, Batch)>,
    /// The number of the last batch.
    number: u64,
    /// The packet path may not do what is desired, because it could not be put back: the services
    /// that were touched, perhaps more than there are now.
    owed: Option<HashSet<ServiceId>>,
    /// The work that pays what is owed.
    paying: Option<u64>,
    /// The table's capacity: it stays what it was made for.
    capacity: u32,
    orders: Vec<Order>,
}

/// Whether all known addresses are being asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Updating {
    #[default]
    No,
    Yes,
    /// The network has changed since: the answer is followed by another question.
    YesAndAgain,
}

impl Core {
    /// What is desired.
    #[must_use]
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// How servers are reached.
    #[must_use]
    pub fn reaches(&self) -> &Reaches {
        &self.reaches
    }

    /// The next hops that are to be probed now: see [`Reaches::due`].
    pub fn due(&mut self) -> Vec<IpAddr> {
        self.reaches.due()
    }

    /// All that a record has to say; nothing while a batch is being carried out.
    #[must_use]
    pub fn recorded(&self) -> Option<Recorded> {
        self.running.is_none().then(|| self.all())
    }

    fn all(&self) -> Recorded {
        Recorded {
            desired: self.desired.clone(),
            files: self.files.clone(),
            number: self.number,
            doubts: Vec::new(),
        }
    }

    /// Takes in an event, and says what is to be done.
    pub fn handle(&mut self, event: Event) -> Vec<Order> {
        match event {
            Event::Started(start) => self.start(*start),
            Event::Asked(ask) => self.ask(ask),
            Event::Explored {
                epoch,
                remembered,
                found,
            } => self.explored(epoch, remembered, found),
            Event::Updated(found) => self.updated(found),
            Event::NetworkChanged { answers } => {
                self.epoch += 1;
                if answers {
                    self.update();
                }
                self.orders.push(Order::RoutesChanged);
            }
            Event::Worked { work, outcome } => self.worked(work, outcome),
            Event::Unused(addresses) => self.forget(&addresses),
            Event::Tick => self.pay(),
        }
        self.proceed();
        mem::take(&mut self.orders)
    }

    fn start(&mut self, start: Start) {
        let Start {
            token,
            file,
            written,
            recorded,
            capacity,
            services,
        } = start;
        let known = recorded.is_some();
        let recorded = recorded.unwrap_or_default();
        self.capacity = capacity;
        self.desired = recorded.desired;
        self.desired.connections = capacity;
        self.files = recorded.files;
        self.number = recorded.number;
        let by = By::Start { file: file.clone() };
        if let Some(wanted) = written.connections
            && wanted != capacity
        {
            self.say(
                Level::Warn,
                format!(
                    "the table that is running was made for {capacity} connections and stays so; \
                     for {wanted} take it down with `lb-ctl detach` (connections are lost) and \
                     start again"
                ),
            );
        }
        let mut addresses = addresses(&self.desired);
        addresses.extend(addresses_of(&written));
        // Those that come back where what was begun has to be taken back.
        let mut before = self.desired.clone();
        for doubt in recorded.doubts.iter().rev() {
            doubt.undo.clone().revert(&mut before);
            addresses.extend(self::addresses(&before));
        }
        self.queue(Task {
            token,
            by,
            scope: Scope::All,
            addresses,
            todo: Todo::File {
                written,
                name: file,
                way: Way::Start(FromStart {
                    services,
                    known,
                    doubts: recorded.doubts,
                    rewritten: false,
                }),
            },
        });
    }

    fn ask(&mut self, ask: Ask) {
        let Ask { token, by, what } = ask;
        let (scope, addresses, todo) = match what {
            What::Change { changes, tell } => {
                let brings = changes.iter().flat_map(Change::brings).collect();
                let scope = Scope::of(&changes, &self.desired);
                (scope, brings, Todo::Changes(Changes::new(changes, tell)))
            }
            What::Apply {
                written,
                dry_run: true,
                ..
            } => {
                let after = written.over(&self.files.last, &self.desired);
                self.reply(
                    token,
                    match self.refusal(&after) {
                        Some(why) => Reply::failed(why),
                        None => Reply::Lines(difference::between(&self.desired, &after)),
                    },
                );
                return;
            }
            What::Apply {
                written, name, own, ..
            } => {
                let way = Way::Apply { own };
                (
                    Scope::All,
                    addresses_of(&written),
                    Todo::File { written, name, way },
                )
            }
            What::Again { written, name } => {
                let way = Way::Again;
                (
                    Scope::All,
                    addresses_of(&written),
                    Todo::File { written, name, way },
                )
            }
            What::Saved(written) => (Scope::part(Part::File), Vec::new(), Todo::Saved(written)),
        };
        self.queue(Task {
            token,
            by,
            scope,
            addresses,
            todo,
        });
    }

    /// Lets a task wait, and has addresses explored of which nothing is known.
    fn queue(&mut self, task: Task) {
        let unknown = |address: &IpAddr| !self.reaches.knows(*address);
        let unknown: HashSet<IpAddr> = task.addresses.iter().copied().filter(unknown).collect();
        let new: Vec<IpAddr> = unknown.difference(&self.exploring).copied().collect();
        self.waiting.push(task);
        if new.is_empty() {
            return;
        }
        self.exploring.extend(&new);
        self.orders.push(Order::Explore {
            epoch: self.epoch,
            addresses: new,
        });
    }

    fn explored(
        &mut self,
        epoch: u64,
        remembered: Vec<(IpAddr, lb_network::Reach)>,
        found: Vec<(IpAddr, lb_network::Reach)>,
    ) {
        for (address, _) in &found {
            self.exploring.remove(address);
        }
        let told = self.reaches.learn(remembered, found);
        self.tell(told);
        if epoch != self.epoch {
            self.update();
        }
    }

    /// Asks again how all known addresses are reached.
    fn update(&mut self) {
        if self.updating != Updating::No {
            self.updating = Updating::YesAndAgain;
            return;
        }
        let known = self.reaches.addresses();
        if !known.is_empty() {
            self.updating = Updating::Yes;
            self.orders.push(Order::Update(known));
        }
    }

    fn updated(&mut self, found: Vec<(IpAddr, lb_network::Reach)>) {
        let (changed, told) = self.reaches.update(found);
        self.tell(told);
        for (address, reach) in changed {
            self.orders.push(Order::NextHop { address, reach });
        }
        if mem::take(&mut self.updating) == Updating::YesAndAgain {
            self.update();
        }
    }

    /// Forgets how addresses are reached, unless somebody still needs it.
    fn forget(&mut self, unused: &[IpAddr]) {
        if unused.is_empty() {
            return;
        }
        let tasks = self
            .waiting
            .iter()
            .chain(self.running.iter().map(|(task, _)| task));
        let mut needed: HashSet<IpAddr> = tasks.flat_map(|task| &task.addresses).copied().collect();
        needed.extend(addresses(&self.desired));
        for address in unused {
            if !needed.contains(address) {
                self.reaches.forget(*address);
            }
        }
    }

    /// Begins tasks, as long as none is running that has to be waited for.
    fn proceed(&mut self) {
        while self.running.is_none() && self.paying.is_none() {
            let Some(place) = (0..self.waiting.len()).find(|&place| self.is_ready(place)) else {
                return;
            };
            let task = self.waiting.remove(place);
            self.begin(task);
        }
    }

    fn is_ready(&self, place: usize) -> bool {
        let (earlier, task) = (&self.waiting[..place], &self.waiting[place]);
        let known = |address: &IpAddr| self.reaches.knows(*address);
        earlier
            .iter()
            .all(|earlier| !earlier.scope.meets(&task.scope))
            && task.addresses.iter().all(known)
    }

    fn begin(&mut self, task: Task) {
        match &task.todo {
            Todo::Changes(_) => self.next_part(task),
            Todo::File { .. } => self.file(task, Vec::new()),
            Todo::Saved(written) => {
                let files = Files {
                    own: written.clone(),
                    ..self.files.clone()
                };
                self.carry_out(
                    task,
                    Undo::default(),
                    Vec::new(),
                    Some(files),
                    Work::default(),
                );
            }
        }
    }

    /// Begins the next part of some changes, or answers when there is none.
    fn next_part(&mut self, mut task: Task) {
        while let Todo::Changes(changes) = &mut task.todo {
            let Some(part) = changes.next() else {
                break;
            };
            let attempt = changes.attempt(part.clone(), &mut self.desired, &self.reaches);
            if attempt.undo.is_empty() {
                changes.done(Vec::new(), attempt.refused);
                continue;
            }
            let mut work = self.work_since(&attempt.undo);
            work.zero = attempt.undo.zeroed(&self.desired);
            let mut lines = difference::since(&attempt.undo, &self.desired);
            if !work.zero.is_empty() {
                let zeroed = lb_model::spelling::first_of(&work.zero);
                lines.push(format!("~ counters of {zeroed} are shown from here on"));
            }
            self.tell(telling::change(&lines, &Edited::default(), &task.by));
            self.carry_out(task, attempt.undo, attempt.made, None, work);
            if let Some((_, batch)) = &mut self.running {
                (batch.lines, batch.refused, batch.part) = (lines, attempt.refused, part);
            }
            return;
        }
        if let Todo::Changes(changes) = task.todo {
            // A new server of a refused change is nobody's.
            match changes.is_refused() {
                true => self.answer(task.token, changes.reply()),
                false => self.reply(task.token, changes.reply()),
            }
        }
    }

    /// Begins to do what a file says. `record` goes before.
    fn file(&mut self, task: Task, record: Vec<Line>) {
        let Todo::File { written, name, way } = &task.todo else {
            return;
        };
        let before = &self.desired;
        let (mut after, files) = match way {
            Way::Apply { own } => (
                written.over(&self.files.last, before),
                Files {
                    own: if *own { written } else { &self.files.own }.clone(),
                    last: written.clone(),
                },
            ),
            Way::Again | Way::Start(_) => {
                // A file that means the same as before does nothing: the last one stays the last.
                let same = *written == self.files.own;
                let last = if same { &self.files.last } else { written };
                let files = Files {
                    own: written.clone(),
                    last: last.clone(),
                };
                (written.again(&self.files.own, before), files)
            }
        };
        if let Way::Start(_) = way {
            after.connections = self.capacity;
        }
        if let Some(why) = self.refusal(&after) {
            let reply = Reply::failed(format!("cannot apply {name}: {why}"));
            self.answer(task.token, reply);
            return;
        }
        let lines = difference::between(before, &after);
        let edited = Edited::since(&self.files.own.alone(), before);
        let mut told = telling::change(&lines, &edited, &task.by);
        let foreign: Vec<ServiceId> = match way {
            Way::Start(FromStart { services, .. }) => services
                .iter()
                .copied()
                .filter(|&id| before.services.get(id).is_none() && after.services.get(id).is_none())
                .collect(),
            _ => Vec::new(),
        };
        let foreign_lines: Vec<_> = foreign
            .iter()
            .map(|id| {
                format!("- {id}, which is in the packet path and neither recorded nor in {name}")
            })
            .collect();
        told.extend(telling::change(&foreign_lines, &edited, &task.by));
        if let Way::Start(FromStart { known: true, .. }) = way {
            let mut file = written.alone();
            file.connections = self.capacity;
            let edits = difference::between(&file, &after).len();
            if edits > 0 {
                let edits = lb_model::spelling::count(edits, "change");
                let line = format!("{edits} made live that {name} does not have: kept");
                told.extend(Told::lines(Level::Info, vec![line]));
            }
        }
        let is_start = matches!(way, Way::Start(_));
        let mut undo = Undo::default();
        let mut made = Vec::new();
        if *before != after {
            let change = Change::Replace(Box::new(after));
            // To replace everything cannot fail.
            let _ = change.make(&mut self.desired, &mut undo);
            made.push(change);
        }
        let files = Some(files).filter(|files| *files != self.files);
        self.tell(told);
        if !is_start && made.is_empty() && files.is_none() {
            self.answer(task.token, Reply::Lines(Vec::new()));
            return;
        }
        let mut work = match is_start {
            true => self.whole_work(foreign.iter().chain(&undo.touched(&self.desired))),
            false => self.work_since(&undo),
        };
        work.record = record;
        self.carry_out(task, undo, made, files, work);
        if let Some((_, batch)) = &mut self.running {
            batch.lines = lines;
        }
    }

    /// Why something cannot be desired on this machine.
    fn refusal(&self, after: &Desired) -> Option<String> {
        if after.connections != self.capacity {
            return Some(format!(
                "connections {} -> {}: the table cannot change its size; `lb-ctl detach` ends it \
                 (connections are lost), then start again",
                self.capacity, after.connections
            ));
        }
        // An address can become the director's own when its server is there already. That is no
        // reason to refuse what has nothing to do with it.
        let before = |service: &Service| self.desired.services.get(service.id) == Some(service);
        let mut new = after.services.iter().filter(|service| !before(service));
        new.find_map(|service| {
            let error = effective::check_methods(service, &self.reaches).err()?;
            Some(error.to_string())
        })
    }

    /// Orders a work that makes a batch of changes, which are made in what is desired already.
    fn carry_out(
        &mut self,
        task: Task,
        undo: Undo,
        made: Vec<Change>,
        files: Option<Files>,
        mut work: Work,
    ) {
        let recorded = !made.is_empty() || files.is_some();
        let noted = files.clone().map(Box::new);
        let before = files.map(|files| mem::replace(&mut self.files, files));
        self.number += 1;
        work.number = self.number;
        if recorded {
            work.record.push(Line::Batch {
                number: self.number,
                changes: made,
                files: noted,
            });
        } else {
            // The record counts the batches that it has.
            self.number -= 1;
        }
        let batch = Batch {
            number: work.number,
            undo,
            files: before,
            recorded,
            lines: Vec::new(),
            part: 0..0,
            refused: Vec::new(),
            failed: None,
        };
        self.running = Some((task, batch));
        self.orders.push(Order::Work(work));
    }

    /// What the packet path has to be told after changes.
    fn work_since(&self, undo: &Undo) -> Work {
        let touched = undo.touched(&self.desired);
        let mut work = task::work(0, &touched, &self.desired, &self.reaches);
        let before = undo.all_before();
        let timeouts = before.map(|all| &all.timeouts).or(undo.timeouts_before());
        if timeouts.is_some_and(|before| *before != self.desired.timeouts) {
            work.timeouts = Some(self.desired.timeouts.clone());
        }
        if before.is_some_and(|all| all.interfaces != self.desired.interfaces) {
            work.interfaces = Some(self.desired.interfaces.clone());
        }
        work
    }

    /// Everything that the packet path has to be told, and that these services may have to go.
    fn whole_work<'a>(&self, others: impl Iterator<Item = &'a ServiceId>) -> Work {
        let all = self.desired.services.iter().map(|service| service.id);
        let is_there = |id: &&ServiceId| self.desired.services.get(**id).is_some();
        let gone = others.filter(|id| !is_there(id)).copied();
        let touched: Vec<_> = all.chain(gone).collect();
        Work {
            timeouts: Some(self.desired.timeouts.clone()),
            interfaces: Some(self.desired.interfaces.clone()),
            ..task::work(0, &touched, &self.desired, &self.reaches)
        }
    }

    fn worked(&mut self, work: u64, outcome: Result<(), Fault>) {
        if self.paying == Some(work) {
            self.paying = None;
            if outcome.is_ok() {
                self.owed = None;
                self.say(
                    Level::Info,
                    "the packet path does what is desired again".to_owned(),
                );
            }
            return;
        }
        let Some((task, mut batch)) = self.running.take_if(|(_, batch)| batch.number == work)
        else {
            return;
        };
        match (batch.failed.take(), outcome) {
            (None, Ok(())) => self.done(task, batch),
            (None, Err(error)) => self.put_back(task, batch, error.to_string()),
            (Some((why, _)), Ok(())) => self.failed(task, batch.part, why, false),
            (Some((why, touched)), Err(error)) => {
                self.owed.get_or_insert_default().extend(touched);
                let why = format!("{why}; and what was before cannot be put back: {error}");
                self.say(Level::Error, format!("{why}; trying again every second"));
                self.failed(task, batch.part, why, true);
            }
        }
    }

    fn done(&mut self, mut task: Task, batch: Batch) {
        let in_doubt = match &task.todo {
            Todo::File {
                way: Way::Start(start),
                ..
            } => !start.doubts.is_empty(),
            _ => false,
        };
        if batch.recorded || in_doubt {
            let number = self.number;
            self.orders.push(Order::Record(Line::Done { number }));
        }
        match &mut task.todo {
            Todo::Changes(changes) => {
                let mut lines = batch.lines;
                let touched = batch.undo.touched(&self.desired);
                let touched = touched
                    .iter()
                    .filter_map(|id| self.desired.services.get(*id));
                lines.extend(telling::unreached(touched, &self.reaches));
                changes.done(lines, batch.refused);
                self.next_part(task);
            }
            Todo::File { way, .. } => {
                let reply = match way {
                    Way::Start(_) => Reply::Done,
                    Way::Apply { .. } | Way::Again => {
                        let services = self.desired.services.iter();
                        let mut lines = batch.lines;
                        lines.extend(telling::unreached(services, &self.reaches));
                        Reply::Lines(lines)
                    }
                };
                self.orders.push(Order::Forget);
                self.reply(task.token, reply);
            }
            Todo::Saved(_) => self.reply(task.token, Reply::Done),
        }
    }

    /// Takes a batch back that the packet path could not do, in the record first: a daemon that
    /// starts after a crash must not try it again.
    fn put_back(&mut self, task: Task, mut batch: Batch, why: String) {
        let touched = batch.undo.touched(&self.desired);
        let (timeouts, interfaces) = (
            self.desired.timeouts.clone(),
            self.desired.interfaces.clone(),
        );
        mem::take(&mut batch.undo).revert(&mut self.desired);
        if let Some(files) = batch.files.take() {
            self.files = files;
        }
        let mut work = task::work(batch.number, &touched, &self.desired, &self.reaches);
        if timeouts != self.desired.timeouts {
            work.timeouts = Some(self.desired.timeouts.clone());
        }
        if interfaces != self.desired.interfaces {
            work.interfaces = Some(self.desired.interfaces.clone());
        }
        // Nobody knows what an unrecorded packet path did before.
        if let Todo::File {
            way: Way::Start(FromStart { known: false, .. }),
            ..
        } = task.todo
        {
            work = Work {
                number: batch.number,
                ..Work::default()
            };
        }
        if batch.recorded {
            let number = batch.number;
            work.record.push(Line::Undone { number });
        }
        batch.failed = Some((why, touched));
        self.running = Some((task, batch));
        self.orders.push(Order::Work(work));
    }

    /// After a batch failed, and what was before was put back. Where that failed, too, the record
    /// may still have the batch, and is written anew.
    fn failed(&mut self, mut task: Task, part: Range<usize>, why: String, rewrite: bool) {
        if let Todo::File {
            way: Way::Start(start),
            ..
        } = &mut task.todo
            && let Some(doubt) = start.doubts.pop()
        {
            start.rewritten |= rewrite;
            let rewrite = start.rewritten;
            // The attempt has put them into the packet path.
            start.services.extend(doubt.undo.touched(&self.desired));
            self.start_without(task, doubt, rewrite, &why);
            return;
        }
        if rewrite {
            self.orders.push(Order::Rewrite(Box::new(self.all())));
        }
        match &mut task.todo {
            Todo::Changes(changes) => {
                if changes.failed(part.clone(), &why) {
                    let count = lb_model::spelling::count(part.len(), "change");
                    self.tell_by(Level::Warn, format!("{count} not made: {why}"), &task.by);
                }
                self.next_part(task);
            }
            Todo::File { name, .. } => {
                let reply = Reply::failed(format!("cannot apply {name}: {why}"));
                self.answer(task.token, reply);
            }
            Todo::Saved(_) => self.reply(task.token, Reply::failed(why)),
        }
    }

    /// Starts again without a batch that was begun before a crash, and may be what cannot be done.
    fn start_without(&mut self, task: Task, doubt: Doubt, rewrite: bool, why: &str) {
        let Doubt {
            number,
            undo,
            files,
        } = doubt;
        self.say(
            Level::Warn,
            format!(
                "what was being changed when the last daemon ended cannot be finished, and is \
                 taken back: {why}"
            ),
        );
        undo.revert(&mut self.desired);
        self.desired.connections = self.capacity;
        self.files = files;
        let mut undone = Vec::new();
        match rewrite {
            true => self.orders.push(Order::Rewrite(Box::new(self.all()))),
            false => undone.push(Line::Undone { number }),
        }
        self.file(task, undone);
    }

    /// Tries again to make the packet path do what is desired.
    fn pay(&mut self) {
        let Some(owed) = &self.owed else { return };
        if self.running.is_some() || self.paying.is_some() {
            return;
        }
        let mut work = self.whole_work(owed.iter());
        // No batch has this number yet.
        work.number = self.number + 1;
        self.paying = Some(work.number);
        self.orders.push(Order::Work(work));
    }

    /// Answers a request of which something may not have been done.
    fn answer(&mut self, token: Token, reply: Reply) {
        self.orders.push(Order::Forget);
        self.reply(token, reply);
    }

    fn reply(&mut self, token: Token, reply: Reply) {
        self.orders.push(Order::Reply(token, reply));
    }

    fn tell(&mut self, told: impl IntoIterator<Item = Told>) {
        self.orders.extend(told.into_iter().map(Order::Tell));
    }

    fn say(&mut self, level: Level, line: String) {
        self.tell(Told::lines(level, vec![line]));
    }

    fn tell_by(&mut self, level: Level, line: String, by: &By) {
        let told = Told {
            level,
            lines: vec![line],
            by: Some(by.clone()),
        };
        self.orders.push(Order::Tell(told));
    }
}

/// The addresses of all servers.
fn addresses(desired: &Desired) -> Vec<IpAddr> {
    let servers = desired.services.iter().flat_map(|service| &service.servers);
    servers.map(|server| server.id.address).collect()
}

/// The addresses of the servers of a file.
fn addresses_of(written: &Written) -> Vec<IpAddr> {
    let services = written.services.iter().flatten();
    let servers = services.flat_map(|service| &service.servers);
    servers.map(|server| server.id.address).collect()
}
