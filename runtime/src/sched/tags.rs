//! Tags: which goroutines were spawned, directly or not, from within a piece of code.
//!
//! `testing::assert_no_leaks` opens a tag and puts it on whoever calls it. A goroutine inherits the tag
//! of its spawner, and is counted under it from before it is queued until its entry has returned. So
//! the count tells how many goroutines the piece of code has left behind, whatever else the process
//! does; that is why it is not done by comparing totals. Without a tag, which is every goroutine but
//! those of such tests, all this costs a load and a store per spawn and a load per end.
//!
//! Tags form a tree: one opened under another has it as its parent. A tag's count is
//!
//! > its goroutines + its children + 1 while it is open,
//!
//! and a tag whose count is 0 is free. So a tag with stragglers keeps its parent busy as well, even after
//! the piece of code that opened it is through: an outer test notices what an inner one left behind.
//!
//! Goroutines that serve whoever looks at the program, such as those of debug pages, are *system* goroutines: they
//! have the tag [`Tag::SYSTEM`], which is inherited as any other but lies outside the tree and is not counted. So no test
//! takes them for left behind, and the deadlock report looks past them.
//!
//! One lock guards the whole tree: tags are for tests. Whoever waits for a count to sink is woken after
//! it has been unlocked.

use crate::prim::Mutex;
use crate::sched::waiter::{WaitToken, Waiter};

/// A tag, or [`Tag::NONE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag(u16);

static TREE: Mutex<Tree> = Mutex::new(Tree::new());

/// All tags.
struct Tree {
    /// The tag `n` is `nodes[n - 1]`.
    nodes: Vec<Node>,
    /// Those with a count of 0.
    free: Vec<Tag>,
}

#[derive(Clone, Copy)]
struct Node {
    parent: Tag,
    count: u64,
    /// Whoever opened it and waits until it is left alone.
    waiting: Option<WaitToken>,
}

impl Tag {
    /// Not tagged.
    pub(crate) const NONE: Tag = Tag(0);

    /// On goroutines that are none of the program's own.
    pub(crate) const SYSTEM: Tag = Tag(u16::MAX);

    /// How many tags there can be at a time.
    pub(crate) const MAX: usize = u16::MAX as usize - 1;

    #[inline]
    pub(crate) fn from_raw(raw: u16) -> Tag {
        Tag(raw)
    }

    #[inline]
    pub(crate) fn into_raw(self) -> u16 {
        self.0
    }

    #[inline]
    pub(crate) fn is_none(self) -> bool {
        self == Tag::NONE
    }

    /// Is it in the tree?
    #[inline]
    fn is_counted(self) -> bool {
        !self.is_none() && self != Tag::SYSTEM
    }

    /// Opens a tag under this one. `None`: [`Tag::MAX`] are in use.
    pub(crate) fn open(self) -> Option<Tag> {
        TREE.lock().open(self)
    }

    /// One more goroutine.
    #[inline]
    pub(crate) fn count(self) {
        if self.is_counted() {
            self.count_one();
        }
    }

    #[cold]
    fn count_one(self) {
        TREE.lock().node(self).count += 1;
    }

    /// One goroutine less; or the tag is closed by whoever opened it. Not while a P is held.
    #[inline]
    pub(crate) fn uncount(self) {
        if self.is_counted() {
            self.uncount_one();
        }
    }

    #[cold]
    fn uncount_one(self) {
        let waiter = TREE.lock().uncount(self);
        if let Some(waiter) = waiter {
            waiter.ready();
        }
    }

    /// Is there nothing under the open tag: no goroutine, no tag?
    pub(crate) fn is_alone(self) -> bool {
        TREE.lock().node(self).count == 1
    }

    /// Ends the wait that `token` names when the open tag is left alone. `false`: it is alone already.
    pub(crate) fn wait_alone(self, token: WaitToken) -> bool {
        let mut tree = TREE.lock();
        let node = tree.node(self);
        let wait = node.count > 1;
        if wait {
            node.waiting = Some(token);
        }
        wait
    }

    /// Is it `ancestor`, or below it?
    pub(crate) fn is_within(self, ancestor: Tag) -> bool {
        let mut tree = TREE.lock();
        let mut tag = self;
        while tag.is_counted() {
            if tag == ancestor {
                return true;
            }
            tag = tree.node(tag).parent;
        }
        false
    }
}

impl Tree {
    const fn new() -> Tree {
        Tree {
            nodes: Vec::new(),
            free: Vec::new(),
        }
    }

    fn node(&mut self, tag: Tag) -> &mut Node {
        &mut self.nodes[usize::from(tag.0) - 1]
    }

    fn open(&mut self, parent: Tag) -> Option<Tag> {
        let node = Node {
            parent,
            count: 1,
            waiting: None,
        };
        let tag = match self.free.pop() {
            Some(tag) => {
                *self.node(tag) = node;
                tag
            }
            None if self.nodes.len() < Tag::MAX => {
                self.nodes.push(node);
                Tag(self.nodes.len() as u16)
            }
            None => return None,
        };
        if parent.is_counted() {
            self.node(parent).count += 1;
        }
        Some(tag)
    }

    /// Counts down, and on from tags that thereby become free to their parents. There is at most one to
    /// wake: who waits has its tag open, so the way up ends there.
    fn uncount(&mut self, mut tag: Tag) -> Option<Waiter> {
        while tag.is_counted() {
            let node = self.node(tag);
            node.count -= 1;
            match node.count {
                0 => {
                    let parent = node.parent;
                    node.waiting = None;
                    self.free.push(tag);
                    tag = parent;
                }
                1 => return node.waiting.take().and_then(WaitToken::claim),
                _ => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_alone_without_goroutines_and_children() {
        let outer = Tag::NONE.open().unwrap();
        assert!(outer.is_alone());
        outer.count();
        assert!(!outer.is_alone());
        outer.uncount();
        assert!(outer.is_alone());
        let inner = outer.open().unwrap();
        assert!(inner.is_within(outer) && !outer.is_within(inner));
        assert!(inner.is_alone() && !outer.is_alone());
        inner.count();
        inner.uncount();
        inner.uncount();
        assert!(outer.is_alone());
        outer.uncount();
    }

    #[test]
    fn stragglers_of_a_closed_tag_keep_its_ancestors_busy() {
        let outer = Tag::NONE.open().unwrap();
        let middle = outer.open().unwrap();
        let inner = middle.open().unwrap();
        inner.count();
        inner.uncount();
        inner.count();
        inner.uncount();
        inner.count();
        // Both are closed with a goroutine left.
        inner.uncount();
        middle.uncount();
        assert!(!outer.is_alone());
        assert!(inner.is_within(outer));
        // It spawns another, and ends.
        inner.count();
        inner.uncount();
        assert!(!outer.is_alone());
        inner.uncount();
        assert!(outer.is_alone());
        outer.uncount();
    }

    #[test]
    fn there_are_so_many_and_they_are_used_again() {
        let mut tree = Tree::new();
        let root = tree.open(Tag::NONE).unwrap();
        let tags: Vec<Tag> = (1..Tag::MAX).map(|_| tree.open(root).unwrap()).collect();
        assert_eq!(tree.open(root), None);
        assert!(tree.uncount(tags[500]).is_none());
        assert_eq!(tree.open(tags[7]), Some(tags[500]));
        assert_eq!(tree.open(root), None);
    }

    #[test]
    fn system_lies_outside_the_tree() {
        Tag::SYSTEM.count();
        Tag::SYSTEM.uncount();
        let tag = Tag::SYSTEM.open().unwrap();
        assert!(!Tag::SYSTEM.is_within(tag) && tag.is_alone());
        tag.uncount();
    }

    #[test]
    fn none_is_not_counted() {
        Tag::NONE.count();
        Tag::NONE.uncount();
        Tag::NONE.uncount();
        assert!(!Tag::NONE.is_within(Tag(1)));
    }
}
