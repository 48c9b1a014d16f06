//! Skynet: every task starts ten others, the last generation return their numbers, every task above
//! adds up what its ten return. The figure is the whole tree.
//!
//! By `channels`, each task has one on which its ten report; by `join`, they are joined. There are a million
//! leaves, 1,111,111 tasks. May cannot have so many at once: it gets 10,000, and so does corio, to compare.
//! The first tree of a process needs fresh stacks; criterion's warm-up leaves them in the pools.

mod peers;

use std::pin::Pin;
use std::time::{Duration, Instant};

use corio_bench::{testing, within};
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use tokio::sync::mpsc;

const CHILDREN: u64 = 10;

/// A subtree: the number of its first leaf, and how many leaves it has.
#[derive(Clone, Copy)]
struct Tree {
    first: u64,
    leaves: u64,
}

impl Tree {
    fn of(leaves: u64) -> Tree {
        Tree { first: 0, leaves }
    }

    fn children(self) -> impl Iterator<Item = Tree> {
        let leaves = self.leaves / CHILDREN;
        (0..CHILDREN).map(move |child| Tree {
            first: self.first + child * leaves,
            leaves,
        })
    }
}

/// Grows the tree that many times; the time of those with the right sum.
fn grow(times: u64, leaves: u64, tree: impl Fn(Tree) -> u64) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        assert_eq!(tree(Tree::of(leaves)), leaves * (leaves - 1) / 2);
    }
    start.elapsed()
}

fn corio_channels(tree: Tree, result: &corio::channel::Sender<u64>) {
    let sum = if tree.leaves == 1 {
        tree.first
    } else {
        let (tx, rx) = corio::channel::bounded(0);
        for child in tree.children() {
            let tx = tx.clone();
            corio::spawn(move || corio_channels(child, &tx));
        }
        rx.iter().take(CHILDREN as usize).sum()
    };
    result.send(sum).expect("a parent that waits");
}

fn corio_join(tree: Tree) -> u64 {
    if tree.leaves == 1 {
        return tree.first;
    }
    let children: Vec<_> = tree
        .children()
        .map(|child| corio::spawn(move || corio_join(child)))
        .collect();
    children
        .into_iter()
        .map(|child| child.join().expect("a child that does not panic"))
        .sum()
}

fn may_channels(tree: Tree, result: &may::sync::mpsc::Sender<u64>) {
    let sum = if tree.leaves == 1 {
        tree.first
    } else {
        let (tx, rx) = may::sync::mpsc::channel();
        for child in tree.children() {
            let tx = tx.clone();
            may::go!(move || may_channels(child, &tx));
        }
        rx.iter().take(CHILDREN as usize).sum()
    };
    result.send(sum).expect("a parent that waits");
}

fn may_join(tree: Tree) -> u64 {
    if tree.leaves == 1 {
        return tree.first;
    }
    let children: Vec<_> = tree
        .children()
        .map(|child| may::go!(move || may_join(child)))
        .collect();
    children
        .into_iter()
        .map(|child| child.join().expect("a child that does not panic"))
        .sum()
}

/// A future that contains its own kind must be boxed.
type Growing<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn tokio_channels(tree: Tree, result: mpsc::Sender<u64>) -> Growing<()> {
    Box::pin(async move {
        let mut sum = tree.first;
        if tree.leaves > 1 {
            let (tx, mut rx) = mpsc::channel(CHILDREN as usize);
            for child in tree.children() {
                tokio::spawn(tokio_channels(child, tx.clone()));
            }
            sum = 0;
            for _ in 0..CHILDREN {
                sum += rx.recv().await.expect("a child's sum");
            }
        }
        result.send(sum).await.expect("a parent that waits");
    })
}

fn tokio_join(tree: Tree) -> Growing<u64> {
    Box::pin(async move {
        if tree.leaves == 1 {
            return tree.first;
        }
        let children: Vec<_> = tree
            .children()
            .map(|child| tokio::spawn(tokio_join(child)))
            .collect();
        let mut sum = 0;
        for child in children {
            sum += child.await.expect("a child that does not panic");
        }
        sum
    })
}

fn skynet(c: &mut Criterion) {
    let mut group = c.benchmark_group("skynet");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let (few, many) = if testing() {
        (100, 1000)
    } else {
        (10_000, 1_000_000)
    };

    for leaves in [few, many] {
        for procs in [1, 2] {
            let peer = format!("corio/{procs}P");
            let id = BenchmarkId::new(&peer, format!("channels_{leaves}"));
            group.bench_function(id, |b| {
                b.iter_custom(|times| {
                    within(procs, move || {
                        grow(times, leaves, |tree| {
                            let (tx, rx) = corio::channel::bounded(0);
                            corio::spawn(move || corio_channels(tree, &tx));
                            rx.recv().expect("the root's sum")
                        })
                    })
                });
            });
            let id = BenchmarkId::new(&peer, format!("join_{leaves}"));
            group.bench_function(id, |b| {
                b.iter_custom(|times| within(procs, move || grow(times, leaves, corio_join)));
            });
        }
    }

    for procs in [1, 2] {
        let peer = format!("tokio/{procs}P");
        let runtime = peers::tokio(procs);
        let id = BenchmarkId::new(&peer, format!("channels_{many}"));
        group.bench_function(id, |b| {
            b.iter_custom(|times| {
                grow(times, many, |tree| {
                    let (tx, mut rx) = mpsc::channel(1);
                    runtime.spawn(tokio_channels(tree, tx));
                    rx.blocking_recv().expect("the root's sum")
                })
            });
        });
        let id = BenchmarkId::new(&peer, format!("join_{many}"));
        group.bench_function(id, |b| {
            b.iter_custom(|times| {
                grow(times, many, |tree| {
                    let root = runtime.spawn(tokio_join(tree));
                    runtime.block_on(root).expect("a root that does not panic")
                })
            });
        });
    }

    let peer = format!("may/{}P", peers::may());
    group.bench_function(BenchmarkId::new(&peer, format!("channels_{few}")), |b| {
        b.iter_custom(|times| {
            grow(times, few, |tree| {
                let (tx, rx) = may::sync::mpsc::channel();
                may::go!(move || may_channels(tree, &tx));
                rx.recv().expect("the root's sum")
            })
        });
    });
    group.bench_function(BenchmarkId::new(&peer, format!("join_{few}")), |b| {
        b.iter_custom(|times| {
            grow(times, few, |tree| {
                let root = may::go!(move || may_join(tree));
                root.join().expect("a root that does not panic")
            })
        });
    });

    group.finish();
}

criterion_group!(benches, skynet);
criterion_main!(benches);
