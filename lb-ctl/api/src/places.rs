//! Places for clients, and memory for what they send: limited, so that no number of clients
//! can take what others need. Where there is no more, those go who have kept the daemon waiting
//! longest; whoever asks and takes the answer is safe.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, oneshot},
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

/// A client that holds less than this is no help when memory is short.
const MUCH: usize = 64 << 10;

/// Nobody has to go who was not kept waiting for this long: far more than it takes to send a
/// request after connecting.
const GRACE: Duration = Duration::from_millis(20);

/// All places.
#[derive(Default)]
pub struct Places {
    clients: Mutex<Clients>,
    /// A client went.
    freed: Notify,
}

#[derive(Default)]
struct Clients {
    next: u64,
    by_number: BTreeMap<u64, Client>,
}

struct Client {
    /// Since when we wait for it, if we do.
    waiting: Option<Instant>,
    held: usize,
    /// Dropped, it tells the client to go.
    _stay: oneshot::Sender<()>,
}

/// A client's place, which is free when this is dropped.
pub struct Place {
    places: Arc<Places>,
    number: u64,
}

impl Places {
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
            held: 0,
            _stay: stay,
        };
        clients.by_number.insert(number, client);
        let places = Arc::clone(self);
        (Place { places, number }, go)
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

    /// The client sent so many bytes of a request. False where they cannot be held.
    pub fn hold(&self, bytes: usize) -> bool {
        let mut clients = self.places.clients();
        loop {
            let held: usize = clients.by_number.values().map(|client| client.held).sum();
            if held + bytes <= MAX_HELD {
                break;
            }
            let number = self.number;
            let others = clients
                .by_number
                .iter()
                .filter(|&(&other, _)| other != number);
            let others = others.filter(|(_, client)| client.held >= MUCH);
            let slowest = others
                .filter_map(|(&other, client)| Some((client.waiting?, other)))
                .min();
            match slowest {
                Some((since, other)) if since.elapsed() >= GRACE => {
                    clients.by_number.remove(&other);
                }
                _ => return false,
            }
        }
        if let Some(client) = clients.by_number.get_mut(&self.number) {
            client.held += bytes;
            client.waiting = Some(Instant::now());
        }
        true
    }

    /// A request was answered: nothing is held any more.
    pub fn release(&self) {
        self.change(|client| client.held = 0);
    }

    fn change(&self, change: impl FnOnce(&mut Client)) {
        if let Some(client) = self.places.clients().by_number.get_mut(&self.number) {
            change(client);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.clients().by_number.remove(&self.number);
        self.places.freed.notify_one();
    }
}
