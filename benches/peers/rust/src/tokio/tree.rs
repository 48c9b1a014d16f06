//! Skynet: every task starts ten others, the last generation return their numbers, every task above
//! adds up what its ten return.

use std::pin::Pin;

use corio_bench_peers::measure::{Watch, rounds, whole};
use corio_bench_peers::work::{CHILDREN, Tree, check, sum_below};
use corio_bench_peers::{Args, Failure, Outcome, flavoured};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::crew::in_task;

/// A future that contains its own kind must be boxed.
type Growing<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The tree by channels, each task having one on which its ten report, or by joining them.
pub(crate) fn skynet(runtime: &Runtime, args: &Args) -> Outcome {
    let leaves = args.n(1_000_000);
    let tree = Tree::with(leaves)?;
    let (flavour, grow): (_, fn(Tree) -> Growing<u64>) = match args.mode("chan") {
        "chan" => (None, by_channels),
        "join" => (Some("join"), by_joining),
        mode => return Err(Failure::absent(format!("skynet --mode {mode}"))),
    };
    let spans = rounds(args, || {
        let (span, sum) = in_task(runtime, async move {
            let watch = Watch::start();
            let sum = grow(tree).await;
            (watch.stop(), sum)
        });
        check("sum of the leaves", sum, sum_below(leaves))?;
        Ok(span)
    })?;
    let rows = whole(&format!("{leaves} leaves"), &spans);
    Ok(match flavour {
        Some(flavour) => flavoured(rows, flavour),
        None => rows,
    })
}

fn by_channels(tree: Tree) -> Growing<u64> {
    Box::pin(async move {
        if tree.leaves == 1 {
            return tree.first;
        }
        let (reports, mut received) = mpsc::channel(CHILDREN as usize);
        for child in tree.children() {
            let reports = reports.clone();
            tokio::spawn(async move {
                let sum = by_channels(child).await;
                reports.send(sum).await.expect("a parent that waits");
            });
        }
        let mut sum = 0;
        for _ in 0..CHILDREN {
            sum += received.recv().await.expect("a report");
        }
        sum
    })
}

fn by_joining(tree: Tree) -> Growing<u64> {
    Box::pin(async move {
        if tree.leaves == 1 {
            return tree.first;
        }
        let children: Vec<_> = tree
            .children()
            .map(|child| tokio::spawn(by_joining(child)))
            .collect();
        let mut sum = 0;
        for child in children {
            sum += child.await.expect("a child that does not panic");
        }
        sum
    })
}
