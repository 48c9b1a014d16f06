//! Where the messages of a channel are: a queue that never moves many of them at once.
//!
//! It lies under the channel's lock, which others spin on, so no single operation may take long. A
//! `VecDeque` alone would copy all messages when it grows. Here only the first block is a `VecDeque` that
//! grows; what does not fit into it goes into further blocks of fixed size. Messages are taken from
//! the front block; when it is empty, the next one takes its place. Most channels never have a second
//! block. While there are several, one
//! that has become empty is kept for the next use; otherwise it is freed, so the memory of a burst is given
//! back.
//!
//! Next in the reading order: `reserve`, what selects ask of a channel.

use std::collections::VecDeque;
use std::mem;

/// A first in, first out queue. See the module's head.
#[derive(Debug)]
pub(super) struct Ring<T> {
    front: VecDeque<T>,
    /// Once the front block was full.
    further: Option<Box<Further<T>>>,
}

#[derive(Debug)]
struct Further<T> {
    /// In order, all full but the last; none is empty.
    blocks: VecDeque<VecDeque<T>>,
    /// Messages in them.
    len: usize,
    spare: Option<VecDeque<T>>,
}

impl<T> Ring<T> {
    /// Messages in a block: a page full, and not too few of large ones.
    const BLOCK: usize = {
        let fit = 4096
            / if size_of::<T>() == 0 {
                1
            } else {
                size_of::<T>()
            };
        if fit < 16 { 16 } else { fit }
    };

    /// An empty queue, with memory for `expected` messages or a block, whichever is less.
    pub(super) fn new(expected: usize) -> Ring<T> {
        Ring {
            front: VecDeque::with_capacity(expected.min(Self::BLOCK)),
            further: None,
        }
    }

    /// How many there are.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        let further = match &self.further {
            None => 0,
            Some(further) => further.len,
        };
        self.front.len() + further
    }

    /// Adds one at the end.
    #[inline(always)]
    pub(super) fn push(&mut self, message: T) {
        if self.further.is_none() && self.front.len() < Self::BLOCK {
            self.front.push_back(message);
        } else {
            self.push_further(message);
        }
    }

    /// Takes the first one.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<T> {
        let message = self.front.pop_front();
        if self.front.is_empty() && self.further.is_some() {
            self.advance();
        }
        message
    }

    #[inline(never)]
    fn push_further(&mut self, message: T) {
        let further = self.further.get_or_insert_with(|| {
            Box::new(Further {
                blocks: VecDeque::new(),
                len: 0,
                spare: None,
            })
        });
        let block = match further.blocks.back_mut() {
            Some(block) if block.len() < Self::BLOCK => block,
            None if self.front.len() < Self::BLOCK => {
                return self.front.push_back(message);
            }
            _ => {
                let block = further.spare.take();
                let block = block.unwrap_or_else(|| VecDeque::with_capacity(Self::BLOCK));
                further.blocks.push_back(block);
                further.blocks.back_mut().expect("just pushed")
            }
        };
        block.push_back(message);
        further.len += 1;
    }

    /// The front block is empty: the next one takes its place.
    #[inline(never)]
    fn advance(&mut self) {
        let Some(further) = &mut self.further else {
            return;
        };
        if let Some(block) = further.blocks.pop_front() {
            further.len -= block.len();
            further.spare = Some(mem::replace(&mut self.front, block));
        } else {
            self.further = None;
        }
    }
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Ring::new(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_in_first_out_over_many_blocks() {
        let mut ring = Ring::new(0);
        let (mut next_in, mut next_out) = (0u64, 0u64);
        // Fills and empties in waves of different heights.
        for wave in [1, 15, 511, 512, 513, 5000, 3, 20_000, 0, 7] {
            for _ in 0..wave {
                ring.push(next_in);
                next_in += 1;
            }
            for _ in 0..wave * 2 / 3 {
                assert_eq!(ring.pop(), Some(next_out));
                next_out += 1;
            }
            assert_eq!(ring.len() as u64, next_in - next_out);
        }
        while let Some(message) = ring.pop() {
            assert_eq!(message, next_out);
            next_out += 1;
        }
        assert_eq!(next_in, next_out);
        assert_eq!(ring.len(), 0);
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let mut ring = Ring::new(0);
        for n in 0..100_000u32 {
            ring.push(n);
        }
        while ring.pop().is_some() {}
        assert!(ring.further.is_none());
        assert!(ring.front.capacity() <= 2 * Ring::<u32>::BLOCK);
    }

    #[test]
    fn a_small_queue_is_one_block_of_the_expected_size() {
        let ring = Ring::<u64>::new(3);
        assert!((3..8).contains(&ring.front.capacity()));
        assert_eq!(Ring::<u64>::new(0).front.capacity(), 0);
        assert!(Ring::<u64>::new(usize::MAX).front.capacity() <= 2 * Ring::<u64>::BLOCK);
    }

    #[test]
    fn zero_sized_and_huge_messages() {
        let mut units = Ring::new(5);
        (0..10_000).for_each(|_| units.push(()));
        assert_eq!(std::iter::from_fn(|| units.pop()).count(), 10_000);
        let mut pages = Ring::new(1);
        (0..40u8).for_each(|n| pages.push([n; 10_000]));
        for n in 0..40 {
            assert_eq!(pages.pop().unwrap()[9_999], n);
        }
    }
}
