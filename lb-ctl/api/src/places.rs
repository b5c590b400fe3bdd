//! Places for clients, and memory for what they send and what is answered: limited, so that no
//! number of clients can take what others need. Where there is no more, those go who have kept the
//! daemon waiting longest; whoever asks and takes the answer is safe.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex as Turnstile, MutexGuard as Turn, Notify, oneshot},
    time::timeout,
};

/// Clients that are served at the same time.
pub const MAX_CLIENTS: usize = 64;

/// Longest request, in bytes, its end of line included.
///
/// A file with as many servers as an instance can have fits into it.
pub const MAX_REQUEST: usize = 64 << 20;

/// Bytes of requests that are held at the same time.
const MAX_HELD: usize = 2 * MAX_REQUEST;

/// Bytes of answers on their way to clients, beyond which no further one is asked for.
const MAX_ANSWERS: usize = 64 << 20;

/// A client that holds less than this is no help when memory is short.
pub const MUCH: usize = 64 << 10;

/// Nobody has to go who was not kept waiting for this long: far more than it takes to send a
/// request after connecting.
const GRACE: Duration = Duration::from_millis(20);

/// The same for a client that is taking an answer: where it has to go, it gets a part of it only.
const PAUSE: Duration = Duration::from_millis(500);

/// All places.
pub struct Places {
    /// [`MAX_ANSWERS`].
    most: usize,
    clients: Mutex<Clients>,
    /// A client went.
    freed: Notify,
    /// Whoever is in it has its answer made.
    turnstile: Turnstile<()>,
    /// A part of an answer was taken, or a client went.
    taken: Notify,
}

#[derive(Default)]
struct Clients {
    next: u64,
    by_number: BTreeMap<u64, Client>,
}

struct Client {
    /// Since when we wait for it, if we do.
    waiting: Option<Instant>,
    /// Bytes of its request.
    request: usize,
    /// Bytes of the answer that it has not taken yet.
    answer: usize,
    /// Dropped, it tells the client to go.
    _stay: oneshot::Sender<()>,
}

/// A client's place, which is free when this is dropped.
pub struct Place {
    places: Arc<Places>,
    number: u64,
    answering: AtomicBool,
}

impl Default for Places {
    fn default() -> Self {
        Self::with_room_for(MAX_ANSWERS)
    }
}

impl Places {
    /// Places with memory for so many bytes of answers.
    pub fn with_room_for(answers: usize) -> Self {
        Self {
            most: answers,
            clients: Mutex::default(),
            freed: Notify::new(),
            turnstile: Turnstile::new(()),
            taken: Notify::new(),
        }
    }

    /// A place for one more client, as soon as there is one. What comes with it is done when the
    /// client has to go.
    pub async fn enter(self: &Arc<Self>) -> (Place, oneshot::Receiver<()>) {
        loop {
            let freed = self.freed.notified();
            let wait = {
                let mut clients = self.clients();
                if clients.by_number.len() < MAX_CLIENTS {
                    return self.admit(&mut clients);
                }
                let slowest = clients.slowest(|_| true);
                match slowest.map(|(number, since)| (number, since.elapsed())) {
                    Some((number, waited)) if waited >= GRACE => {
                        clients.by_number.remove(&number);
                        return self.admit(&mut clients);
                    }
                    // Nobody is late yet, or all wait for us.
                    Some((_, waited)) => GRACE.saturating_sub(waited),
                    None => GRACE,
                }
            };
            let _ = timeout(wait, freed).await;
        }
    }

    fn admit(self: &Arc<Self>, clients: &mut Clients) -> (Place, oneshot::Receiver<()>) {
        let (stay, go) = oneshot::channel();
        let number = clients.next;
        clients.next += 1;
        let client = Client {
            waiting: Some(Instant::now()),
            request: 0,
            answer: 0,
            _stay: stay,
        };
        clients.by_number.insert(number, client);
        let places = Arc::clone(self);
        let place = Place {
            places,
            number,
            answering: AtomicBool::new(false),
        };
        (place, go)
    }

    /// Bytes of answers that are held now.
    #[cfg(test)]
    pub fn answers(&self) -> usize {
        self.clients().answers()
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clients {
    /// Of some clients, the one that we have waited for longest.
    fn slowest(&self, which: impl Fn(&Client) -> bool) -> Option<(u64, Instant)> {
        let waiting = self.by_number.iter().filter(|(_, client)| which(client));
        let waiting = waiting.filter_map(|(&number, client)| Some((number, client.waiting?)));
        waiting.min_by_key(|&(_, since)| since)
    }

    /// Bytes of answers that were made and not taken yet.
    fn answers(&self) -> usize {
        self.by_number.values().map(|client| client.answer).sum()
    }
}

impl Place {
    /// From now on we wait for the client.
    pub fn wait(&self) {
        self.change(|client| client.waiting = Some(Instant::now()));
    }

    /// From now on the client waits for us.
    pub fn work(&self) {
        self.change(|client| client.waiting = None);
    }

    /// The client sent so many bytes of a request. False if they cannot be held.
    pub fn hold(&self, bytes: usize) -> bool {
        let mut clients = self.places.clients();
        loop {
            let held: usize = clients.by_number.values().map(|it| it.request).sum();
            if held + bytes <= MAX_HELD {
                break;
            }
            // This client's own part is of no help.
            self.change_in(&mut clients, |client| client.waiting = None);
            match clients.slowest(|client| client.request >= MUCH) {
                Some((other, since)) if since.elapsed() >= GRACE => {
                    clients.by_number.remove(&other);
                }
                _ => return false,
            }
        }
        self.change_in(&mut clients, |client| {
            client.request += bytes;
            client.waiting = Some(Instant::now());
        });
        true
    }

    /// A request was answered: nothing of it is held any more.
    pub fn release(&self) {
        self.change(|client| client.request = 0);
    }

    /// Waits until an answer of any size may be made for this client, and nobody else's is being
    /// made. So what is held is never more than [`MAX_ANSWERS`] and one answer.
    pub async fn turn(&self) -> Turn<'_, ()> {
        let turn = self.places.turnstile.lock().await;
        loop {
            let taken = self.places.taken.notified();
            {
                let mut clients = self.places.clients();
                if clients.answers() < self.places.most {
                    return turn;
                }
                match clients.slowest(|client| client.answer >= MUCH) {
                    Some((slowest, since)) if since.elapsed() >= PAUSE => {
                        clients.by_number.remove(&slowest);
                        continue;
                    }
                    _ => {}
                }
            }
            let _ = timeout(GRACE, taken).await;
        }
    }

    /// An answer of so many bytes is there for the client; none with 0.
    pub fn offer(&self, bytes: usize) {
        self.answering.store(bytes > 0, Ordering::Relaxed);
        self.change(|client| client.answer = bytes);
        self.wait();
        self.places.taken.notify_one();
    }

    /// True while the client takes an answer: no other one can be given then.
    pub fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed)
    }

    fn change(&self, change: impl FnOnce(&mut Client)) {
        self.change_in(&mut self.places.clients(), change);
    }

    fn change_in(&self, clients: &mut Clients, change: impl FnOnce(&mut Client)) {
        if let Some(client) = clients.by_number.get_mut(&self.number) {
            change(client);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.clients().by_number.remove(&self.number);
        self.places.freed.notify_one();
        self.places.taken.notify_one();
    }
}
