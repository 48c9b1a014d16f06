//! redis_lite's store against a model: a plain map, in which what is due is looked for at each step.

#[allow(dead_code)]
#[path = "../redis_lite/lists.rs"]
mod lists;
#[allow(dead_code)]
#[path = "../redis_lite/reply.rs"]
mod reply;
#[allow(dead_code)]
#[path = "../redis_lite/resp.rs"]
mod resp;
#[allow(dead_code)]
#[path = "../redis_lite/store.rs"]
mod store;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use corio::channel::Receiver;
use corio::go;
use lists::{Popped, Side, Wait, Waiter};
use proptest::collection::vec;
use proptest::prelude::*;
use store::{Error, Only, Store, Ttl};

#[derive(Clone, Debug)]
enum Op {
    Set(u8, Vec<u8>, Option<u64>, Only),
    Get(u8),
    Add(u8, i64),
    Delete(u8),
    Expire(u8, u64),
    Persist(u8),
    Ttl(u8),
    Push(u8, Side, Vec<Vec<u8>>),
    Pop(u8, Side),
    PopMany(u8, Side, usize),
    Range(u8, i64, i64),
    Len(u8),
    Pass(u64),
    Sweep,
    Clear,
    /// Waits for an element of these keys.
    Wait(Vec<u8>, Side),
    /// The one that has waited longest gives up.
    Forget,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = || 0..4_u8;
    let side = || prop_oneof![Just(Side::Left), Just(Side::Right)];
    let only = prop_oneof![
        Just(Only::Always),
        Just(Only::IfAbsent),
        Just(Only::IfPresent)
    ];
    let text = || {
        prop_oneof![
            vec(any::<u8>(), 0..5),
            any::<i64>().prop_map(|n| n.to_string().into_bytes())
        ]
    };
    let op = prop_oneof![
        4 => (key(), text(), proptest::option::of(0..50_u64), only).prop_map(|(k, v, e, o)| Op::Set(k, v, e, o)),
        3 => key().prop_map(Op::Get),
        3 => (key(), prop_oneof![any::<i64>(), -5..5_i64]).prop_map(|(k, n)| Op::Add(k, n)),
        3 => key().prop_map(Op::Delete),
        2 => (key(), 0..50_u64).prop_map(|(k, t)| Op::Expire(k, t)),
        1 => key().prop_map(Op::Persist),
        2 => key().prop_map(Op::Ttl),
        6 => (key(), side(), vec(text(), 1..4)).prop_map(|(k, s, v)| Op::Push(k, s, v)),
        3 => (key(), side()).prop_map(|(k, s)| Op::Pop(k, s)),
        1 => (key(), side(), 0..4_usize).prop_map(|(k, s, n)| Op::PopMany(k, s, n)),
        2 => (key(), -6..6_i64, -6..6_i64).prop_map(|(k, a, b)| Op::Range(k, a, b)),
        1 => key().prop_map(Op::Len),
        3 => (0..20_u64).prop_map(Op::Pass),
        1 => Just(Op::Sweep),
        1 => Just(Op::Clear),
        3 => (vec(key(), 1..4), side()).prop_map(|(k, s)| Op::Wait(k, s)),
        1 => Just(Op::Forget),
    ];
    vec(op, 0..80)
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Bytes(Vec<u8>),
    List(VecDeque<Vec<u8>>),
}

/// Somebody who waits, in the model; `got` is what it must have been handed.
struct Waiting {
    keys: Vec<u8>,
    side: Side,
    got: Option<(u8, Vec<u8>)>,
    waiter: Arc<Waiter>,
    received: Receiver<Popped>,
}

#[derive(Default)]
struct Model {
    values: HashMap<u8, (Value, Option<u64>)>,
    waiting: VecDeque<Waiting>,
    now: u64,
}

fn pop_side(list: &mut VecDeque<Vec<u8>>, side: Side) -> Option<Vec<u8>> {
    match side {
        Side::Left => list.pop_front(),
        Side::Right => list.pop_back(),
    }
}

impl Model {
    fn settle(&mut self) {
        let now = self.now;
        self.values
            .retain(|_, (_, until)| until.is_none_or(|until| until > now));
    }

    fn list(&mut self, key: u8) -> Result<Option<&mut VecDeque<Vec<u8>>>, Error> {
        match self.values.get_mut(&key) {
            None => Ok(None),
            Some((Value::List(list), _)) => Ok(Some(list)),
            Some((Value::Bytes(_), _)) => Err(Error::WrongType),
        }
    }

    fn tidy(&mut self, key: u8) {
        if matches!(self.values.get(&key), Some((Value::List(list), _)) if list.is_empty()) {
            self.values.remove(&key);
        }
    }

    fn pop(&mut self, key: u8, side: Side) -> Result<Option<Vec<u8>>, Error> {
        let popped = self.list(key)?.and_then(|list| pop_side(list, side));
        self.tidy(key);
        Ok(popped)
    }

    /// The first of those who wait at the key gets the next element, as long as there is one.
    fn serve(&mut self, key: u8) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for one in waiting
            .iter_mut()
            .filter(|one| one.got.is_none() && one.keys.contains(&key))
        {
            if let Ok(Some(element)) = self.pop(key, one.side) {
                one.got = Some((key, element));
            }
        }
        self.waiting = waiting;
    }
}

/// Does the same to both, and compares.
fn step(store: &Store, model: &mut Model, start: Instant, op: Op) -> Result<(), TestCaseError> {
    let at = |millis: u64| start + Duration::from_millis(millis);
    let now = at(model.now);
    model.settle();
    let name = |key: u8| [b'k', key];
    match op {
        Op::Set(key, value, expires, only) => {
            let expires = expires.map(|after| model.now + after);
            let there = model.values.contains_key(&key);
            let sets = match only {
                Only::Always => true,
                Only::IfAbsent => !there,
                Only::IfPresent => there,
            };
            prop_assert_eq!(
                store.set(&name(key), &value, expires.map(at), only, now),
                sets
            );
            if sets {
                model.values.insert(key, (Value::Bytes(value), expires));
            }
        }
        Op::Get(key) => {
            let got = store.get(&name(key), now, <[u8]>::to_vec);
            let want = match model.values.get(&key) {
                None => Ok(None),
                Some((Value::Bytes(bytes), _)) => Ok(Some(bytes.clone())),
                Some((Value::List(_), _)) => Err(Error::WrongType),
            };
            prop_assert_eq!(got, want);
        }
        Op::Add(key, delta) => {
            let want = match model.values.get(&key) {
                None => Ok(delta),
                Some((Value::List(_), _)) => Err(Error::WrongType),
                Some((Value::Bytes(bytes), _)) => {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    let number = text.parse::<i64>().ok().filter(|n| n.to_string() == text);
                    number
                        .ok_or(Error::NotInteger)
                        .and_then(|number| number.checked_add(delta).ok_or(Error::Overflow))
                }
            };
            prop_assert_eq!(store.add(&name(key), delta, now), want);
            if let Ok(number) = want {
                let bytes = Value::Bytes(number.to_string().into_bytes());
                let until = model.values.get(&key).and_then(|(_, until)| *until);
                model.values.insert(key, (bytes, until));
            }
        }
        Op::Delete(key) => {
            prop_assert_eq!(
                store.delete(&name(key), now),
                model.values.remove(&key).is_some()
            );
        }
        Op::Expire(key, after) => {
            let until = model.now + after;
            let entry = model.values.get_mut(&key);
            prop_assert_eq!(store.expire(&name(key), at(until), now), entry.is_some());
            if let Some(entry) = entry {
                entry.1 = Some(until);
            }
        }
        Op::Persist(key) => {
            let entry = model.values.get_mut(&key);
            let had = entry.is_some_and(|entry| entry.1.take().is_some());
            prop_assert_eq!(store.persist(&name(key), now), had);
        }
        Op::Ttl(key) => {
            let want = match model.values.get(&key) {
                None => Ttl::NoKey,
                Some((_, None)) => Ttl::Forever,
                Some((_, Some(until))) => Ttl::Left(Duration::from_millis(until - model.now)),
            };
            prop_assert_eq!(store.ttl(&name(key), now), want);
        }
        Op::Push(key, side, elements) => {
            let got = store.push(&name(key), side, elements.iter().map(|e| &e[..]), now);
            let list = Value::List(VecDeque::new());
            model.values.entry(key).or_insert((list, None));
            let want = model.list(key).map(|list| {
                let list = list.expect("was just made");
                for element in elements {
                    match side {
                        Side::Left => list.push_front(element),
                        Side::Right => list.push_back(element),
                    }
                }
                list.len()
            });
            prop_assert_eq!(got, want);
            model.serve(key);
        }
        Op::Pop(key, side) => {
            let got = store.pop(&name(key), side, now);
            prop_assert_eq!(got.map(|e| e.map(Vec::from)), model.pop(key, side));
        }
        Op::PopMany(key, side, count) => {
            let got = store.pop_many(&name(key), side, count, now);
            let got = got.map(|all| all.map(|all| all.into_iter().map(Vec::from).collect()));
            let want: Result<Option<Vec<_>>, _> = model.list(key).map(|list| {
                list.map(|list| (0..count).map_while(|_| pop_side(list, side)).collect())
            });
            model.tidy(key);
            prop_assert_eq!(got, want);
        }
        Op::Range(key, start, stop) => {
            let got = store.range(&name(key), start, stop, now, |elements| {
                let length = elements.len();
                let all: Vec<_> = elements.map(|e| e.to_vec()).collect();
                assert_eq!(all.len(), length);
                all
            });
            let want = model.list(key).map(|list| {
                let list: Vec<_> = list.map(|list| list.clone().into()).unwrap_or_default();
                let from_end = |n: i64| if n < 0 { n + list.len() as i64 } else { n };
                let range = from_end(start)..=from_end(stop);
                let inside = |(at, _): &(usize, &Vec<u8>)| range.contains(&(*at as i64));
                list.iter()
                    .enumerate()
                    .filter(inside)
                    .map(|(_, e)| e.clone())
                    .collect::<Vec<_>>()
            });
            prop_assert_eq!(got, want);
        }
        Op::Len(key) => {
            let want = model
                .list(key)
                .map(|list| list.map_or(0, |list| list.len()));
            prop_assert_eq!(store.list_len(&name(key), now), want);
        }
        Op::Pass(millis) => model.now += millis,
        Op::Sweep => {
            store.sweep(now);
            prop_assert_eq!(store.size().0, model.values.len());
            let expiring = model.values.values().filter(|(_, until)| until.is_some());
            prop_assert_eq!(store.size().1, expiring.count());
        }
        Op::Clear => {
            store.clear();
            model.values.clear();
        }
        Op::Wait(keys, side) => {
            let names: Vec<_> = keys.iter().map(|&key| name(key)).collect();
            let mut want = Ok(None);
            for &key in &keys {
                match model.pop(key, side) {
                    Ok(None) => continue,
                    Ok(Some(element)) => want = Ok(Some((key, element))),
                    Err(error) => want = Err(error),
                }
                break;
            }
            match store.pop_or_wait(names.iter().map(|n| &n[..]), side, now) {
                Ok(Wait::Queued(waiter, received)) => {
                    prop_assert_eq!(want, Ok(None));
                    let got = None;
                    model.waiting.push_back(Waiting {
                        keys,
                        side,
                        got,
                        waiter,
                        received,
                    });
                }
                Ok(Wait::Popped((key, element))) => {
                    prop_assert_eq!(want, Ok(Some((key[1], element.into()))));
                }
                Err(error) => prop_assert_eq!(want, Err(error)),
            }
        }
        Op::Forget => {
            if let Some(one) = model.waiting.pop_front() {
                forget(store, one, now)?;
            }
        }
    }
    Ok(())
}

/// Ends a wait, and checks that it has got what it must have.
fn forget(store: &Store, one: Waiting, now: Instant) -> Result<(), TestCaseError> {
    let names: Vec<_> = one.keys.iter().map(|&key| [b'k', key]).collect();
    let names = names.iter().map(|name| &name[..]);
    let got = store.forget(names, &one.waiter, &one.received, now);
    prop_assert_eq!(
        got.map(|(key, element)| (key[1], Vec::from(element))),
        one.got
    );
    Ok(())
}

proptest! {
    #[test]
    fn does_what_a_plain_map_does(shards in 1..4_usize, ops in ops()) {
        let store = Store::new(shards);
        let (mut model, start) = (Model::default(), Instant::now());
        for op in ops {
            step(&store, &mut model, start, op)?;
        }
        let now = start + Duration::from_millis(model.now);
        for one in std::mem::take(&mut model.waiting) {
            forget(&store, one, now)?;
        }
        prop_assert_eq!(store.waited_for(), 0);
    }
}

/// Ten goroutines wait at two keys, over and over, and give up now and then; two others push a thousand elements. Each
/// element goes to exactly one, or is still there.
#[test]
fn no_element_is_lost_or_doubled() {
    const EACH: usize = 1000;
    let store = Arc::new(Store::new(8));
    let takers: Vec<_> = (0..10_usize)
        .map(|taker| {
            let store = Arc::clone(&store);
            go!(move || {
                let (mut taken, mut round) = (Vec::new(), taker);
                let keys = || [&b"a"[..], b"b"].into_iter();
                loop {
                    round += 1;
                    let now = Instant::now();
                    let popped = match store.pop_or_wait(keys(), Side::Left, now) {
                        Ok(Wait::Popped(popped)) => Some(popped),
                        Ok(Wait::Queued(waiter, received)) => {
                            // Some give up at once.
                            let first = (round % 3 != 0).then(|| {
                                // Long after it must have come.
                                let limit = Duration::from_secs(60);
                                received.recv_timeout(limit).expect("one comes")
                            });
                            first.or(store.forget(keys(), &waiter, &received, now))
                        }
                        Err(error) => panic!("{error}"),
                    };
                    let Some(popped) = popped else {
                        corio::yield_now();
                        continue;
                    };
                    match &*popped.1 {
                        b"end" => return taken,
                        // Some are not wanted.
                        _ if round % 7 == 0 => store.give_back(popped, Side::Left, now),
                        element => taken.push(element.to_vec()),
                    }
                }
            })
        })
        .collect();
    let pushers: Vec<_> = [b"a", b"b"]
        .map(|key| {
            let store = Arc::clone(&store);
            go!(move || {
                for n in 0..EACH {
                    let element = format!("{}{n}", char::from(key[0])).into_bytes();
                    let elements = [&element[..]].into_iter();
                    store
                        .push(key, Side::Right, elements, Instant::now())
                        .unwrap();
                    if n % 10 == 0 {
                        corio::yield_now();
                    }
                }
            })
        })
        .into();
    for pusher in pushers {
        pusher.join().unwrap();
    }
    for _ in &takers {
        store
            .push(b"b", Side::Right, [&b"end"[..]].into_iter(), Instant::now())
            .unwrap();
    }
    let mut taken: Vec<_> = takers
        .into_iter()
        .flat_map(|taker| taker.join().unwrap())
        .collect();
    for key in [b"a", b"b"] {
        while let Some(element) = store.pop(key, Side::Left, Instant::now()).unwrap() {
            taken.push(element.into());
        }
    }
    assert_eq!(taken.len(), 2 * EACH);
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), 2 * EACH);
    assert_eq!(store.waited_for(), 0);
}
