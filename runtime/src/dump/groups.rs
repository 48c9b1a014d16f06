//! Goroutines that do the same, together.

use super::{GoroutineDump, GoroutineStatus};
use crate::sched::reason::WaitReason;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// What the goroutines of a group have in common. Equal stacks are one `Stack`.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    status: GoroutineStatus,
    reason: WaitReason,
    spawned_at: Option<&'static Location<'static>>,
    stack: *const (),
}

/// The groups of a [`Dump`](crate::Dump), the largest first.
///
/// Displayed, it is the dump's text with one paragraph for each group:
///
/// ```text
/// 12 goroutines [chan receive, 0.1s to 1.2s]: 7 8 9 10 11 12 13 14 15 16 ... and 2 more
/// corio::channel::receiver::Receiver<T>::recv
///     runtime/src/channel/receiver.rs:84
/// ```
#[derive(Clone, Debug)]
pub struct Groups<'a> {
    groups: Vec<Group<'a>>,
}

impl<'a> Groups<'a> {
    pub(super) fn of(goroutines: &'a [GoroutineDump]) -> Self {
        let mut index: HashMap<Key, usize> = HashMap::new();
        let mut groups: Vec<Group<'a>> = Vec::new();
        for g in goroutines {
            let key = Key {
                status: g.status,
                reason: g.reason,
                spawned_at: g.spawned_at,
                stack: Arc::as_ptr(&g.stack).cast(),
            };
            let at = *index.entry(key).or_insert(groups.len());
            match groups.get_mut(at) {
                Some(group) => group.members.push(g),
                None => groups.push(Group { members: vec![g] }),
            }
        }
        groups.sort_by_key(|group| Reverse(group.members.len()));
        Groups { groups }
    }

    /// The groups.
    pub fn as_slice(&self) -> &[Group<'a>] {
        &self.groups
    }

    /// The groups, one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Group<'a>> {
        self.groups.iter()
    }
}

impl<'s, 'a> IntoIterator for &'s Groups<'a> {
    type Item = &'s Group<'a>;
    type IntoIter = std::slice::Iter<'s, Group<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Goroutines with equal stacks, status, wait reason and origin.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    members: Vec<&'a GoroutineDump>,
}

impl<'a> Group<'a> {
    /// How many they are.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// One of them, for what they have in common.
    pub fn example(&self) -> &'a GoroutineDump {
        self.members[0]
    }

    /// All of them.
    pub fn goroutines(&self) -> &[&'a GoroutineDump] {
        &self.members
    }

    /// Their numbers.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.members.iter().map(|g| g.id)
    }

    /// The shortest and the longest time that one of them has been parked.
    pub fn waited(&self) -> Option<(Duration, Duration)> {
        let mut all = self.members.iter().filter_map(|g| g.waited);
        let first = all.next()?;
        Some(all.fold((first, first), |(shortest, longest), waited| {
            (shortest.min(waited), longest.max(waited))
        }))
    }
}
