//! Keys and their values: a hash map in shards, each under a lock of its own.
//!
//! A command takes the lock of one key's shard for as long as it needs, never across anything that waits.
//! So a command on several keys is not atomic over all of them, other than in Redis, where one thread
//! does everything; in return commands run on all cores. One lock for the whole map is not
//! faster on one core: an open lock costs two atomic instructions, a request costs a hundred times as much.
//!
//! A key's time is over in two ways. Who takes a shard's lock for a key removes that key if it is due, so
//! nobody ever sees one that is (*lazily*). And a goroutine calls [`sweep`](Store::sweep) now and then, for the
//! memory's sake. Keys with an expiry are also in an ordered set: what is due stands in front, and nothing has
//! to be sampled, as Redis does.
//!
//! What is large is dropped after the lock is released.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use corio::sync::{Mutex, MutexGuard};

use crate::lists::Waiter;

/// The most keys that are swept from one shard under its lock.
const SWEEP: usize = 256;

pub(crate) type Key = Box<[u8]>;
pub(crate) type Element = Box<[u8]>;

/// Why a command could not be done, in Redis' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    WrongType,
    NotInteger,
    Overflow,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Error::NotInteger => "ERR value is not an integer or out of range",
            Error::Overflow => "ERR increment or decrement would overflow",
        })
    }
}

/// When [`set`](Store::set) does what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    Always,
    IfAbsent,
    IfPresent,
}

/// How long a key has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ttl {
    NoKey,
    Forever,
    Left(Duration),
}

pub(crate) enum Value {
    Bytes(Vec<u8>),
    /// Never empty.
    List(VecDeque<Element>),
}

pub(crate) struct Entry {
    pub(crate) value: Value,
    expires: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Shard {
    pub(crate) entries: HashMap<Key, Entry>,
    /// The keys that have an expiry, the next one due in front.
    expiring: BTreeSet<(Instant, Key)>,
    /// Who waits for an element of a list, longest first. (See `lists`.)
    pub(crate) waiting: HashMap<Key, VecDeque<Arc<Waiter>>>,
}

impl Shard {
    /// Removes the key if it is due.
    fn settle(&mut self, key: &[u8], now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.expiring.first().map(|(at, _)| *at))
            && self
                .entries
                .get(key)
                .is_some_and(|entry| due(entry.expires))
        {
            self.remove(key);
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let (key, entry) = self.entries.remove_entry(key)?;
        if let Some(at) = entry.expires {
            self.expiring.remove(&(at, key));
        }
        Some(entry)
    }

    pub(crate) fn insert(&mut self, key: &[u8], value: Value) {
        let expires = None;
        self.entries.insert(key.into(), Entry { value, expires });
    }

    fn set_expiry(&mut self, key: &[u8], expires: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let before = std::mem::replace(&mut entry.expires, expires);
        if before == expires {
            return;
        }
        if let Some(at) = before {
            self.expiring.remove(&(at, key.into()));
        }
        if let Some(at) = expires {
            self.expiring.insert((at, key.into()));
        }
    }
}

pub(crate) struct Store {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

impl Store {
    /// As many shards as said, but at least one.
    pub(crate) fn new(shards: usize) -> Store {
        Store {
            shards: (0..shards.max(1)).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The key's shard, in which the key, if it is there, is not due.
    pub(crate) fn lock(&self, key: &[u8], now: Instant) -> MutexGuard<'_, Shard> {
        let index = match self.shards.len() {
            1 => 0,
            n => self.hasher.hash_one(key) as usize % n,
        };
        let mut shard = self.shards[index].lock();
        shard.settle(key, now);
        shard
    }

    /// Calls `f` with the value.
    pub(crate) fn get<R>(
        &self,
        key: &[u8],
        now: Instant,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>, Error> {
        match self.lock(key, now).entries.get(key).map(|e| &e.value) {
            None => Ok(None),
            Some(Value::Bytes(bytes)) => Ok(Some(f(bytes))),
            Some(Value::List(_)) => Err(Error::WrongType),
        }
    }

    /// `false`: nothing was changed, because of `only`. A value of another type is replaced.
    pub(crate) fn set(
        &self,
        key: &[u8],
        value: &[u8],
        expires: Option<Instant>,
        only: Only,
        now: Instant,
    ) -> bool {
        // Dropped after the guard.
        let _before;
        let mut shard = self.lock(key, now);
        match shard.entries.get_mut(key) {
            Some(_) if only == Only::IfAbsent => return false,
            None if only == Only::IfPresent => return false,
            Some(entry) => {
                match &mut entry.value {
                    // In place, unless most of its memory would go to waste.
                    Value::Bytes(bytes) if bytes.capacity() <= 2 * value.len() + 64 => {
                        bytes.clear();
                        bytes.extend_from_slice(value);
                    }
                    other => _before = std::mem::replace(other, Value::Bytes(value.to_vec())),
                }
                // Spares a second look into the map.
                if entry.expires == expires {
                    return true;
                }
            }
            None => shard.insert(key, Value::Bytes(value.to_vec())),
        }
        shard.set_expiry(key, expires);
        true
    }

    /// Adds to a number, 0 if there is none.
    pub(crate) fn add(&self, key: &[u8], delta: i64, now: Instant) -> Result<i64, Error> {
        let mut shard = self.lock(key, now);
        let mut digits = [0; 20];
        match shard.entries.get_mut(key).map(|entry| &mut entry.value) {
            None => {
                let text = crate::reply::decimal(&mut digits, delta);
                shard.insert(key, Value::Bytes(text.to_vec()));
                Ok(delta)
            }
            Some(Value::Bytes(bytes)) => {
                let number = crate::resp::integer(bytes).ok_or(Error::NotInteger)?;
                let number = number.checked_add(delta).ok_or(Error::Overflow)?;
                bytes.clear();
                bytes.extend_from_slice(crate::reply::decimal(&mut digits, number));
                Ok(number)
            }
            Some(Value::List(_)) => Err(Error::WrongType),
        }
    }

    /// Was there such a key?
    pub(crate) fn delete(&self, key: &[u8], now: Instant) -> bool {
        // Two statements: the guard goes before the value.
        let removed = self.lock(key, now).remove(key);
        removed.is_some()
    }

    pub(crate) fn exists(&self, key: &[u8], now: Instant) -> bool {
        self.lock(key, now).entries.contains_key(key)
    }

    /// The name of the value's type; `None`: no such key.
    pub(crate) fn kind(&self, key: &[u8], now: Instant) -> Option<&'static str> {
        let shard = self.lock(key, now);
        Some(match shard.entries.get(key)?.value {
            Value::Bytes(_) => "string",
            Value::List(_) => "list",
        })
    }

    /// Gives the key until `at`, which may have passed. Was there such a key?
    pub(crate) fn expire(&self, key: &[u8], at: Instant, now: Instant) -> bool {
        let mut shard = self.lock(key, now);
        if !shard.entries.contains_key(key) {
            return false;
        }
        shard.set_expiry(key, Some(at));
        if at <= now {
            let removed = shard.remove(key);
            drop(shard);
            drop(removed);
        }
        true
    }

    /// Did the key have an expiry? It has none now.
    pub(crate) fn persist(&self, key: &[u8], now: Instant) -> bool {
        let mut shard = self.lock(key, now);
        let entry = shard.entries.get(key);
        let had = entry.is_some_and(|entry| entry.expires.is_some());
        shard.set_expiry(key, None);
        had
    }

    pub(crate) fn ttl(&self, key: &[u8], now: Instant) -> Ttl {
        match self.lock(key, now).entries.get(key).map(|e| e.expires) {
            None => Ttl::NoKey,
            Some(None) => Ttl::Forever,
            Some(Some(at)) => Ttl::Left(at.saturating_duration_since(now)),
        }
    }

    /// How many keys there are, and how many of them have an expiry. What is due and not yet swept counts.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.shards.iter().fold((0, 0), |(keys, expiring), shard| {
            let shard = shard.lock();
            (keys + shard.entries.len(), expiring + shard.expiring.len())
        })
    }

    /// How many keys somebody waits at.
    pub(crate) fn waited_for(&self) -> usize {
        let waited_for = |shard: &Mutex<Shard>| shard.lock().waiting.len();
        self.shards.iter().map(waited_for).sum()
    }

    /// Removes all keys. Who waits for an element goes on waiting.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let entries = std::mem::take(&mut shard.entries);
            let expiring = std::mem::take(&mut shard.expiring);
            drop(shard);
            drop((entries, expiring));
        }
    }

    /// Removes what is due; returns how much that was.
    pub(crate) fn sweep(&self, now: Instant) -> usize {
        let mut swept = 0;
        for shard in &self.shards {
            loop {
                let mut shard = shard.lock();
                let mut removed = Vec::new();
                while removed.len() < SWEEP
                    && let Some((at, _)) = shard.expiring.first()
                    && *at <= now
                    && let Some((_, key)) = shard.expiring.pop_first()
                {
                    removed.push(shard.entries.remove_entry(&key));
                }
                drop(shard);
                swept += removed.len();
                if removed.len() < SWEEP {
                    break;
                }
            }
        }
        swept
    }
}
