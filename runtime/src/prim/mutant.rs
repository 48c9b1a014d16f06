//! Mutants for the loom models: the runtime with one fence, bit or ordering taken away, to show that
//! the models notice.
//!
//! Only compiled under `cfg(loom)`. The algorithms know nothing of it: it works in the atomics that
//! they are given ([`super::atomic`]) and in [`super::fence`]. A mutant holds for the OS thread that
//! set it, and loom runs all threads of a model on the one that explores it, so models with different
//! mutants may run side by side.
//!
//! Bits are addressed by the width of the word: a model has one word of each width that its mutants
//! concern. Orderings are addressed by the place in the source where they
//! stand, which the wrappers learn from `#[track_caller]`; [`uses`] lists those that were passed, so
//! that a test can take away one after the other without naming any.
//!
//! The wrappers also make up for two things that loom 0.7 overlooks: see `Turns` and `store`.

use super::Site;
use loom::sync::atomic::{self, Ordering};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::panic::Location;
use std::sync::OnceLock;

/// What is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Nothing.
    None,
    /// The fence at this site is not there.
    NoFence(Site),
    /// Words of this width have no such bits: nothing written to or compared with them has.
    NoBits(Width, u64),
    /// In words of this width these bits stay set once they are.
    StickyBits(Width, u64),
    /// This ordering is relaxed.
    Relaxed(Use),
    /// Who claims its own wait believes to have got it, and leaves it open to others.
    NoOwnClaim,
}

/// A width of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    U32,
    U64,
    Usize,
}

/// One ordering at one place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    place: &'static Location<'static>,
    part: Part,
}

impl Use {
    /// The file it stands in.
    pub(crate) fn file(self) -> &'static str {
        self.place.file()
    }
}

/// Which part of an operation's ordering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Acquire,
    AcquireOnFailure,
    Release,
}

thread_local! {
    static MUTANT: Cell<Mutant> = const { Cell::new(Mutant::None) };
    static USES: RefCell<BTreeSet<Use>> = const { RefCell::new(BTreeSet::new()) };
}

/// From now on the calling thread explores this mutant.
pub(crate) fn set(mutant: Mutant) {
    MUTANT.set(mutant);
}

/// Is the fence at `site` there?
pub(crate) fn has_fence(site: Site) -> bool {
    MUTANT.get() != Mutant::NoFence(site)
}

/// Does a claim of one's own wait do nothing? Asked by the models' `sched`.
pub(crate) fn claims_nothing_for_itself() -> bool {
    MUTANT.get() == Mutant::NoOwnClaim
}

/// The orderings above relaxed that the calling thread's models have used.
pub(crate) fn uses() -> Vec<Use> {
    USES.with_borrow(|uses| uses.iter().copied().collect())
}

/// Does this part of an ordering hold?
fn holds(place: &'static Location<'static>, part: Part) -> bool {
    let this = Use { place, part };
    USES.with_borrow_mut(|uses| uses.insert(this));
    MUTANT.get() != Mutant::Relaxed(this)
}

/// The ordering of a load, or of a read-modify-write that fails.
fn loading(place: &'static Location<'static>, order: Ordering, part: Part) -> Ordering {
    match order {
        Ordering::Acquire if !holds(place, part) => Ordering::Relaxed,
        order => order,
    }
}

/// The ordering of a store, or of a read-modify-write that succeeds.
fn writing(place: &'static Location<'static>, order: Ordering) -> Ordering {
    let acquire = || holds(place, Part::Acquire);
    let release = || holds(place, Part::Release);
    let (acquire, release) = match order {
        Ordering::Acquire => (acquire(), false),
        Ordering::Release => (false, release()),
        Ordering::AcqRel => (acquire(), release()),
        order => return order,
    };
    match (acquire, release) {
        (true, true) => Ordering::AcqRel,
        (true, false) => Ordering::Acquire,
        (false, true) => Ordering::Release,
        (false, false) => Ordering::Relaxed,
    }
}

/// The bits that words of this width lack.
fn lacking(width: Width) -> u64 {
    match MUTANT.get() {
        Mutant::NoBits(of, bits) if of == width => bits,
        _ => 0,
    }
}

/// The bits that stay set in words of this width.
fn sticking(width: Width) -> u64 {
    match MUTANT.get() {
        Mutant::StickyBits(of, bits) if of == width => bits,
        _ => 0,
    }
}

/// An object of loom's in which a word's loads and stores conflict.
///
/// To decide what may happen in another order loom keeps only the last access to a word. If one thread
/// loads, and then another loads and writes, it compares the write with its own thread's load and
/// overlooks that it could have come before the first one. If the loads conflict among themselves it
/// tries them in every order, and with them the write.
#[derive(Debug)]
struct Turns(atomic::AtomicBool);

impl Turns {
    fn new() -> Self {
        Turns(atomic::AtomicBool::new(false))
    }

    /// Called before every load and store. A failing compare-exchange: an access to loom that conflicts
    /// with its like, stores nothing and synchronises nobody.
    fn take(&self) {
        let _ = self
            .0
            .compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed);
    }
}

macro_rules! word {
    ($name:ident, $loom:ident, $of:ty, $width:expr) => {
        /// loom's atomic, with the mutant of the running model.
        #[derive(Debug)]
        pub(crate) struct $name {
            word: atomic::$loom,
            turns: Turns,
        }

        impl $name {
            pub(crate) fn new(value: $of) -> Self {
                $name {
                    word: atomic::$loom::new(value),
                    turns: Turns::new(),
                }
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $of {
                self.turns.take();
                self.word
                    .load(loading(Location::caller(), order, Part::Acquire))
            }

            /// loom doesn't know that nothing comes between what a read-modify-write reads and what
            /// it writes: to it, a store could be older than a compare-exchange that came first and
            /// was not seen. So the store first sees what is newest, in one step in which loom may
            /// not switch (it may before, at `take`). As a swap it would pass on what others have
            /// released, too.
            #[track_caller]
            pub(crate) fn store(&self, value: $of, order: Ordering) {
                let order = writing(Location::caller(), order);
                self.turns.take();
                loom::stop_exploring();
                let newest = <$of>::MAX / 3;
                let newest = self
                    .word
                    .compare_exchange(newest, newest, Ordering::Relaxed, Ordering::Relaxed)
                    .unwrap_or_else(|newest| newest);
                self.word
                    .store(Self::cut(value) | newest & sticking($width) as $of, order);
                loom::explore();
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $of, order: Ordering) -> $of {
                let order = writing(Location::caller(), order);
                self.word.swap(Self::cut(value), order)
            }

            #[track_caller]
            pub(crate) fn fetch_add(&self, value: $of, order: Ordering) -> $of {
                let order = writing(Location::caller(), order);
                self.word.fetch_add(Self::cut(value), order)
            }

            #[track_caller]
            pub(crate) fn fetch_sub(&self, value: $of, order: Ordering) -> $of {
                let order = writing(Location::caller(), order);
                self.word.fetch_sub(Self::cut(value), order)
            }

            #[track_caller]
            pub(crate) fn fetch_or(&self, value: $of, order: Ordering) -> $of {
                let order = writing(Location::caller(), order);
                self.word.fetch_or(Self::cut(value), order)
            }

            #[track_caller]
            pub(crate) fn fetch_and(&self, value: $of, order: Ordering) -> $of {
                let order = writing(Location::caller(), order);
                self.word.fetch_and(value | sticking($width) as $of, order)
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $of,
                new: $of,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$of, $of> {
                let place = Location::caller();
                self.word.compare_exchange(
                    Self::cut(current),
                    Self::cut(new) | current & sticking($width) as $of,
                    writing(place, success),
                    loading(place, failure, Part::AcquireOnFailure),
                )
            }

            /// loom's never fails for no reason.
            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $of,
                new: $of,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$of, $of> {
                self.compare_exchange(current, new, success, failure)
            }

            /// `value` without the bits that the mutant lacks.
            fn cut(value: $of) -> $of {
                value & !(lacking($width) as $of)
            }
        }
    };
}

word!(Word32, AtomicU32, u32, Width::U32);
word!(AtomicU64, AtomicU64, u64, Width::U64);
word!(AtomicUsize, AtomicUsize, usize, Width::Usize);

thread_local! {
    /// Words that the running execution made as it began, for those that are made in a `const fn`.
    static WORDS: RefCell<Vec<Word32>> = const { RefCell::new(Vec::new()) };
}

/// How many of them a model may have.
const MOST_WORDS: usize = 12;

/// Called as an execution begins, before it starts threads.
pub(crate) fn begin() {
    WORDS.with_borrow_mut(|words| {
        words.clear();
        words.resize_with(MOST_WORDS, || Word32::new(0));
    });
}

/// A word that can be made in a `const fn`. Which word of loom's it is, is decided when it is used first.
/// One that begins with 0 has been there from the beginning, because to loom what one thread makes is not
/// there for others before they have synchronised. Others are made by whoever uses them first.
#[derive(Debug)]
pub(crate) struct AtomicU32 {
    start: u32,
    word: OnceLock<Word32>,
}

impl AtomicU32 {
    pub(crate) const fn new(start: u32) -> Self {
        AtomicU32 {
            start,
            word: OnceLock::new(),
        }
    }
}

impl Deref for AtomicU32 {
    type Target = Word32;

    fn deref(&self) -> &Word32 {
        self.word.get_or_init(|| match self.start {
            0 => WORDS
                .with_borrow_mut(Vec::pop)
                .expect("the model has too many words"),
            start => Word32::new(start),
        })
    }
}

/// A pointer that can be made in a `const fn`; loom's is made by whoever uses it first.
#[derive(Debug)]
pub(crate) struct AtomicPtr<T> {
    start: *mut T,
    pointer: OnceLock<atomic::AtomicPtr<T>>,
}

// SAFETY: as `std::sync::atomic::AtomicPtr`.
unsafe impl<T> Send for AtomicPtr<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for AtomicPtr<T> {}

impl<T> AtomicPtr<T> {
    pub(crate) const fn new(start: *mut T) -> Self {
        AtomicPtr {
            start,
            pointer: OnceLock::new(),
        }
    }
}

impl<T> Deref for AtomicPtr<T> {
    type Target = atomic::AtomicPtr<T>;

    fn deref(&self) -> &atomic::AtomicPtr<T> {
        self.pointer
            .get_or_init(|| atomic::AtomicPtr::new(self.start))
    }
}

/// A flag, as a word.
#[derive(Debug)]
pub(crate) struct AtomicBool(AtomicU32);

impl AtomicBool {
    pub(crate) const fn new(value: bool) -> Self {
        AtomicBool(AtomicU32::new(value as u32))
    }

    #[track_caller]
    pub(crate) fn load(&self, order: Ordering) -> bool {
        self.0.load(order) != 0
    }

    #[track_caller]
    pub(crate) fn store(&self, value: bool, order: Ordering) {
        self.0.store(value.into(), order);
    }

    #[track_caller]
    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        self.0.swap(value.into(), order) != 0
    }

    #[track_caller]
    pub(crate) fn compare_exchange_weak(
        &self,
        current: bool,
        new: bool,
        success: Ordering,
        failure: Ordering,
    ) -> Result<bool, bool> {
        self.0
            .compare_exchange(current.into(), new.into(), success, failure)
            .map(|found| found != 0)
            .map_err(|found| found != 0)
    }
}
