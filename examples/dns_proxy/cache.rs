//! Answers, for as long as they hold, and no more of them than there may be.
//!
//! When it is full, the answer goes that would go soonest anyway. (Rejected: the one that was used longest ago. It
//! needs a write for each read, and times to live in DNS are short.)

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use corio::sync::Mutex;

use crate::message::{Answer, Key};

/// Longer answers are not kept, so that the number of answers bounds the memory.
const MAX_ANSWER: usize = 4096;

pub(crate) struct Cache {
    kept: Mutex<Kept>,
    max: usize,
}

#[derive(Default)]
struct Kept {
    answers: HashMap<Arc<Key>, (Instant, Arc<Answer>)>,
    /// The same, the next one to go in front.
    order: BTreeSet<(Instant, Arc<Key>)>,
}

impl Cache {
    pub(crate) fn new(max: usize) -> Cache {
        let kept = Mutex::default();
        Cache { kept, max }
    }

    pub(crate) fn get(&self, key: &Key, now: Instant) -> Option<Arc<Answer>> {
        let kept = self.kept.lock();
        let (_, answer) = kept.answers.get(key)?;
        answer.is_fresh(now).then(|| Arc::clone(answer))
    }

    pub(crate) fn put(&self, key: &Key, answer: &Arc<Answer>, now: Instant) {
        if answer.ttl.is_zero() || answer.len() > MAX_ANSWER || self.max == 0 {
            return;
        }
        let (key, until) = (Arc::new(key.clone()), now + answer.ttl);
        let mut kept = self.kept.lock();
        let before = kept
            .answers
            .insert(Arc::clone(&key), (until, Arc::clone(answer)));
        if let Some((before, _)) = before {
            kept.order.remove(&(before, Arc::clone(&key)));
        }
        kept.order.insert((until, key));
        while kept.answers.len() > self.max
            && let Some((_, key)) = kept.order.pop_first()
        {
            kept.answers.remove(&key);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.lock().answers.len()
    }
}
