//! All around the core: what carries its orders out, and what checks them.

use std::{collections::BTreeMap, mem, net::IpAddr};

use lb_api::{Peer, Reply};
use lb_director::{
    core::{Ask, Asked, By, Core, Event, Level, Order, Record as _, Start, Token, Work},
    record::{self, Files, Line, Recorded},
};
use lb_model::{Change, Desired, Service, Undo, difference, merge::Written, rules};

use crate::{
    file::written,
    network::{Network, Way},
    path::{BOOT, Path},
};

pub struct World {
    /// None while no daemon runs.
    core: Option<Core>,
    pub file: Written,
    pub network: Network,
    pub path: Path,
    /// Answers on their way to the core.
    answers: Vec<Answer>,
    /// Requests that are not answered yet.
    asked: BTreeMap<Token, Request>,
    tokens: u64,
    /// What the log was told since the last work.
    pub told: Vec<(Level, String)>,
    /// What has to be desired, if each answer is right.
    desired: Desired,
    files: Files,
}

enum Answer {
    Ready(Event),
    Explore { epoch: u64, addresses: Vec<IpAddr> },
    Update(Vec<IpAddr>),
}

enum Request {
    Start {
        written: Written,
        recorded: Box<Recorded>,
    },
    Change(Vec<Change>),
    Apply {
        written: Written,
        own: bool,
    },
    Hangup(Written),
    Save(Written),
}

const CAPACITY: u32 = rules::DEFAULT_CONNECTIONS;

impl World {
    pub fn new(file: Written) -> Self {
        Self {
            core: None,
            file,
            network: Network::default(),
            path: Path::default(),
            answers: Vec::new(),
            asked: BTreeMap::new(),
            tokens: 0,
            told: Vec::new(),
            desired: Desired::default(),
            files: Files::default(),
        }
    }

    /// A daemon starts, if none runs.
    pub fn start(&mut self) {
        if self.core.is_some() {
            return;
        }
        let recorded = self.path.recorded();
        let state = recorded.clone().unwrap_or_default();
        // A shell writes a record if there is none, and drops a torn line.
        self.path.record = match recorded {
            None => record::begin(BOOT, &state),
            Some(_) => {
                let whole = self.path.record.iter().rposition(|&byte| byte == b'\n');
                self.path.record[..=whole.expect("a line")].to_vec()
            }
        };
        self.core = Some(Core::default());
        self.desired = state.desired.clone();
        self.files = state.files.clone();
        let token = self.token(Request::Start {
            written: self.file.clone(),
            recorded: Box::new(state),
        });
        self.happen(Event::Started(Box::new(Start {
            token,
            file: "lb.yaml".to_owned(),
            written: self.file.clone(),
            recorded,
            capacity: CAPACITY,
            services: self.path.services.keys().copied().collect(),
        })));
    }

    pub fn change(&mut self, changes: Vec<Change>) {
        let what = Asked::Change {
            changes: changes.clone(),
            tell: true,
        };
        self.ask(what, Request::Change(changes));
    }

    pub fn apply(&mut self, written: Written, own: bool) {
        let what = Asked::Apply {
            written: written.clone(),
            name: "x.yaml".to_owned(),
            own,
            dry_run: false,
        };
        self.ask(what, Request::Apply { written, own });
    }

    pub fn hang_up(&mut self) {
        let written = self.file.clone();
        let what = Asked::Again {
            written: written.clone(),
            name: "lb.yaml".to_owned(),
        };
        self.ask(what, Request::Hangup(written));
    }

    pub fn save(&mut self) {
        let Some(core) = &self.core else { return };
        let desired = core.desired();
        let written = written(desired, true, true, true);
        self.file = written.clone();
        self.ask(Asked::Saved(written.clone()), Request::Save(written));
    }

    pub fn change_network(&mut self, last: u8, way: Way) {
        self.network.change(IpAddr::from([10, 0, 0, last]), way);
        self.happen(Event::NetworkChanged { answers: true });
    }

    /// One of the answers comes: `which` chooses among so many.
    pub fn answer(&mut self, which: impl Fn(usize) -> usize) {
        if self.answers.is_empty() {
            return;
        }
        let answer = self.answers.remove(which(self.answers.len()));
        let event = match answer {
            Answer::Ready(event) => event,
            Answer::Explore { epoch, addresses } => Event::Explored {
                epoch,
                remembered: Vec::new(),
                found: self.network.reach(&addresses),
            },
            Answer::Update(addresses) => Event::Updated(self.network.reach(&addresses)),
        };
        self.happen(event);
    }

    pub fn tick(&mut self) {
        self.happen(Event::Tick);
    }

    /// Everything calms down; then everything has to be as it should.
    pub fn end(mut self) {
        self.path.calm_down();
        self.settle();
        if self.core.is_none() {
            // A file that says nothing can always be done.
            self.file = Written::default();
            self.start();
        }
        self.settle();
        if self.network.let_all_answer() {
            self.happen(Event::NetworkChanged { answers: true });
            self.settle();
        }
        let core = self.core.as_ref();
        let core = core.unwrap_or_else(|| panic!("no daemon runs: {:?}", self.told));
        assert!(self.asked.is_empty(), "requests without a reply");
        let recorded = self.path.recorded().expect("a record");
        assert_eq!(
            core.desired(),
            &recorded.desired,
            "desired and not recorded"
        );
        assert!(recorded.doubts.is_empty());
        assert_eq!(core.desired(), &self.desired, "replies and what is desired");

        let fresh = self.fresh(recorded);
        assert_eq!(
            self.path.services, fresh.services,
            "a fresh start does other"
        );
        assert_eq!(self.path.timeouts, fresh.timeouts);
        assert_eq!(self.path.interfaces, fresh.interfaces);
    }

    /// A packet path that was never there before, and does what is desired.
    fn fresh(&self, recorded: Recorded) -> Path {
        let mut fresh = Self::new(recorded.files.own.clone());
        fresh.network.clone_from(&self.network);
        fresh.path.record = record::begin(BOOT, &recorded);
        fresh.start();
        fresh.settle();
        assert!(fresh.core.is_some(), "it does not start: {:?}", fresh.told);
        fresh.path
    }

    /// All answers come, one after the other.
    pub fn settle(&mut self) {
        for _ in 0..4 {
            while !self.answers.is_empty() {
                self.answer(|_| 0);
            }
            self.tick();
        }
    }

    fn token(&mut self, request: Request) -> Token {
        self.tokens += 1;
        self.asked.insert(Token(self.tokens), request);
        Token(self.tokens)
    }

    fn ask(&mut self, what: Asked, request: Request) {
        if self.core.is_none() {
            return;
        }
        let token = self.token(request);
        let by = By::Peer {
            peer: Peer::default(),
            verb: "test".to_owned(),
        };
        self.happen(Event::Asked(Ask { token, by, what }));
    }

    fn happen(&mut self, event: Event) {
        let Some(core) = &mut self.core else { return };
        let orders = core.handle(event);
        for order in orders {
            if self.path.step().is_ok() {
                self.carry_out(order);
            }
            if self.path.killed {
                self.crash();
            }
            if self.core.is_none() {
                return;
            }
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Explore { epoch, addresses } => {
                let answer = match self.network.early {
                    true => Answer::Ready(Event::Explored {
                        epoch,
                        remembered: Vec::new(),
                        found: self.network.reach(&addresses),
                    }),
                    false => Answer::Explore { epoch, addresses },
                };
                self.answers.push(answer);
            }
            Order::Update(addresses) => self.answers.push(match self.network.early {
                true => Answer::Ready(Event::Updated(self.network.reach(&addresses))),
                false => Answer::Update(addresses),
            }),
            Order::Work(work) => self.work(work),
            Order::NextHop { address, reach } => self.path.set_next_hop(address, &reach),
            Order::RoutesChanged => {}
            Order::Forget => {
                let core = self.core.as_ref().expect("it gave the order");
                let mut unused = core.reaches().addresses();
                unused.retain(|address| {
                    let mut services = self.path.services.values();
                    !services.any(|service| service.reaches.contains_key(address))
                });
                self.answers.push(Answer::Ready(Event::Unused(unused)));
            }
            Order::Record(line) => {
                // Where the line cannot be written, the next start does the batch again.
                let _ = self.path.append(&line);
            }
            Order::Rewrite(recorded) => {
                self.path.record = record::begin(BOOT, &recorded);
                self.path.broken = false;
            }
            Order::Tell(told) => {
                let lines = told.lines.into_iter().map(|line| (told.level, line));
                self.told.extend(lines);
            }
            Order::Reply(token, reply) => self.reply(token, &reply),
        }
    }

    fn work(&mut self, work: Work) {
        let before = self.path.recorded().expect("a record");
        let mut copy = Path::default();
        copy.record.clone_from(&self.path.record);
        for line in &work.record {
            copy.record.extend(record::encode(line));
        }
        if let Some(Line::Batch { files, .. }) = work.record.last() {
            let mut before = before;
            // What is taken back first is told in one line.
            if work.record.len() > 1 {
                let doubt = before.doubts.pop().expect("a doubt");
                doubt.undo.revert(&mut before.desired);
                before.files = doubt.files;
            }
            let after = copy.recorded().expect("a record");
            self.check_told(&before, &after.desired, files.is_some());
        }
        self.told.clear();
        let outcome = work.carry_out(&mut self.path);
        let work = work.number;
        self.answers
            .push(Answer::Ready(Event::Worked { work, outcome }));
    }

    /// Every line of a change was told, as a warning if it takes something away.
    fn check_told(&self, before: &Recorded, after: &Desired, of_file: bool) {
        let file = before.files.own.alone();
        let lines = difference::between(&before.desired, after);
        for line in lines {
            // An edit tells nothing of the order of services, which packets do not notice.
            if line.starts_with("~ services in the order") || line.starts_with("! connections") {
                continue;
            }
            let told = self.told.iter().find(|(_, told)| *told == line);
            let (level, _) = told.unwrap_or_else(|| panic!("{line:?} is not in {:?}", self.told));
            let warned = *level == Level::Warn;
            assert!(warned || !line.starts_with('-'), "not a warning: {line}");
            if of_file && !warned {
                for service in before.desired.services.iter() {
                    check_edits(&line, file.services.get(service.id), service);
                }
            }
        }
    }

    fn reply(&mut self, token: Token, reply: &Reply) {
        let request = self.asked.remove(&token).expect("one reply to a request");
        match (request, reply) {
            (Request::Start { written, recorded }, Reply::Done) => {
                // Batches that were begun before a crash are done or taken back, the last one first.
                let start = |recorded: &Recorded| {
                    let mut after = written.again(&recorded.files.own, &recorded.desired);
                    after.connections = CAPACITY;
                    (after, read_again(recorded.files.clone(), written.clone()))
                };
                let now = self.path.recorded().expect("a record");
                let now = (now.desired, now.files);
                let mut recorded = *recorded;
                while start(&recorded) != now {
                    let doubt = recorded.doubts.pop();
                    let lines = difference::between(&start(&recorded).0, &now.0);
                    let doubt =
                        doubt.unwrap_or_else(|| panic!("not what the file means: {lines:?}"));
                    doubt.undo.revert(&mut recorded.desired);
                    recorded.files = doubt.files;
                }
                (self.desired, self.files) = now;
            }
            (Request::Start { .. }, Reply::Error { message, .. }) => {
                self.told.push((Level::Error, message.clone()));
                // The daemon ends.
                self.stop();
                return;
            }
            (Request::Change(changes), Reply::Changed { refused, .. }) => {
                for (place, change) in changes.iter().enumerate() {
                    if refused.iter().all(|refused| refused.place != place) {
                        let made = change.make(&mut self.desired, &mut Undo::default());
                        assert_eq!(made, Ok(()), "not refused: {change:?}");
                    }
                }
            }
            (Request::Apply { written, own }, Reply::Lines(_)) => {
                self.desired = written.over(&self.files.last, &self.desired);
                if own {
                    self.files.own = written.clone();
                }
                self.files.last = written;
            }
            (Request::Hangup(written), Reply::Lines(_)) => {
                self.desired = written.again(&self.files.own, &self.desired);
                self.files = read_again(mem::take(&mut self.files), written);
            }
            (Request::Save(written), Reply::Done) => self.files.own = written,
            (
                Request::Apply { .. } | Request::Hangup(_) | Request::Save(_),
                Reply::Error { .. },
            ) => {}
            (_, reply) => panic!("a reply of another kind: {reply:?}"),
        }
        let recorded = self.path.recorded().expect("a record");
        assert_eq!(
            recorded.desired, self.desired,
            "what is recorded at a reply"
        );
        assert_eq!(recorded.files, self.files);
    }

    fn stop(&mut self) {
        self.core = None;
        self.answers.clear();
        self.asked.clear();
        self.path.broken = false;
        self.path.killed = false;
    }

    fn crash(&mut self) {
        let busy = !self.asked.is_empty();
        self.stop();
        let mut recorded = self.path.recorded().unwrap_or_default();
        for doubt in recorded.doubts.into_iter().rev() {
            doubt.undo.revert(&mut recorded.desired);
        }
        assert!(
            busy || recorded.desired == self.desired,
            "what was answered is recorded"
        );
    }
}

/// The files after the daemon's own was read again.
fn read_again(before: Files, own: Written) -> Files {
    let last = if own == before.own {
        before.last
    } else {
        own.clone()
    };
    Files { own, last }
}

/// A line that is no warning changes nothing that was edited live.
fn check_edits(line: &str, then: Option<&Service>, now: &Service) {
    for server in &now.servers {
        let edited = then.and_then(|then| then.server(server.id)) != Some(server);
        let about = format!("~ {} server {} ", now.id, server.id);
        assert!(
            !(edited && line.starts_with(&about)),
            "not a warning: {line}"
        );
    }
    if then.is_none_or(|then| then.options != now.options) {
        let about = format!("~ {} ", now.id);
        let servers = [format!("{about}server "), format!("{about}servers ")];
        let of_servers = servers.iter().any(|start| line.starts_with(start));
        assert!(
            of_servers || !line.starts_with(&about),
            "not a warning: {line}"
        );
    }
}
